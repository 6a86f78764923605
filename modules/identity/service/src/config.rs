/// What a merchant may want otherwise. Limits are counted over the last hour, exactly.
#[derive(Clone, Debug)]
pub struct IdentityConfig {
    /// Minutes for which a code is good.
    pub otp_minutes: u32,
    /// Wrong codes after which a new one must be asked for.
    pub otp_tries: u32,
    /// Seconds between two codes for one number.
    pub otp_gap_s: u32,
    /// Codes per hour for one number.
    pub otp_per_number: u32,
    /// Codes per hour asked for by one device.
    pub otp_per_device: u32,
    /// Codes per hour asked for from one address (one /64 network of IPv6).
    pub otp_per_ip: u32,
    /// Seconds that the SMS provider has to take a code.
    pub sms_timeout_s: u32,
    /// Minutes for which an access token is good.
    pub access_minutes: u32,
    /// Days without a refresh after which a customer must log in again.
    pub customer_days: u32,
    /// Days without a refresh after which a guest is forgotten.
    pub guest_days: u32,
    /// Hours without a refresh after which staff must log in again.
    pub staff_hours: u32,
    /// Wrong passwords per hour for one staff account.
    pub staff_tries: u32,
    /// Wrong passwords per hour from one address.
    pub staff_per_ip: u32,
}

impl Default for IdentityConfig {
    fn default() -> Self {
        Self {
            otp_minutes: 10,
            otp_tries: 5,
            otp_gap_s: 30,
            otp_per_number: 5,
            otp_per_device: 20,
            otp_per_ip: 50,
            sms_timeout_s: 10,
            access_minutes: 15,
            customer_days: 60,
            guest_days: 30,
            staff_hours: 12,
            staff_tries: 10,
            staff_per_ip: 50,
        }
    }
}
