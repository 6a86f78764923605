/// What a merchant may want otherwise. Limits are exact over a window that
/// slides.
#[derive(Clone, Debug)]
pub struct IdentityConfig {
    /// Minutes for which a code is good.
    pub otp_minutes: u32,
    /// Wrong codes after which a new one must be asked for.
    pub otp_tries: u32,
    /// Seconds between two codes for one number.
    pub otp_gap_s: u32,
    /// Codes in ten minutes for one number.
    pub otp_per_number_10min: u32,
    /// Codes in a day for one number.
    pub otp_per_number_day: u32,
    /// Codes per hour asked for by one device.
    pub otp_per_device_hour: u32,
    /// Codes per hour asked for from one address (one /64 network of IPv6).
    pub otp_per_ip_hour: u32,
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
            otp_per_number_10min: 3,
            otp_per_number_day: 10,
            otp_per_device_hour: 10,
            otp_per_ip_hour: 60,
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
