//! WebSocket /play.
