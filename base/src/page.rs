/// Which part of a list is wanted: forward cursors only, as feeds are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageRequest {
    /// How many at most; clamped to 1 – [`PageRequest::MAX`].
    pub first: u32,
    /// The cursor after which to begin; opaque to the caller.
    pub after: Option<String>,
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// Each item with the cursor that continues after it.
    pub items: Vec<(String, T)>,
    /// True if more follow.
    pub has_next: bool,
    /// How many there are in all, where that is cheap to know.
    pub total: Option<u64>,
}

impl PageRequest {
    /// The most items that one request gets.
    pub const MAX: u32 = 100;

    /// The first `first` items.
    pub fn first(first: u32) -> Self {
        Self { first, after: None }
    }

    /// The limit to use.
    pub fn limit(&self) -> u32 {
        self.first.clamp(1, Self::MAX)
    }
}

impl<T> Page<T> {
    /// Makes a page of rows fetched with `LIMIT limit + 1`: the extra row only says that more follow.
    pub fn from_rows(mut rows: Vec<(String, T)>, limit: u32) -> Self {
        let has_next = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        Self { items: rows, has_next, total: None }
    }

    /// The same page of other items.
    pub fn map<U>(self, mut f: impl FnMut(T) -> U) -> Page<U> {
        Page {
            items: self.items.into_iter().map(|(c, t)| (c, f(t))).collect(),
            has_next: self.has_next,
            total: self.total,
        }
    }
}
