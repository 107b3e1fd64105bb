//! `SEQUENCE OF` without an allocator: a slice when writing, validated DER when read.

use crate::Result;
use crate::asn1::{DerReader, DerWriter};
use core::fmt;
use core::marker::PhantomData;
use der::{ErrorKind, Tag};

/// A value that can stand in a [`List`].
pub trait Item<'a>: Copy {
    /// Writes the value.
    fn write_item(&self, writer: &mut DerWriter<'_>);

    /// Reads the value.
    ///
    /// # Errors
    /// [`Error::Der`](crate::Error::Der) if it is malformed.
    fn read_item(reader: &mut DerReader<'a>) -> Result<Self>;
}

/// The members of a `SEQUENCE OF`.
///
/// To write, take a slice with [`of`](Self::of). A list that was parsed borrows the DER; all its members were checked
/// then.
#[derive(Clone, Copy)]
pub struct List<'a, T>(Source<'a, T>);

#[derive(Clone, Copy)]
enum Source<'a, T> {
    Slice(&'a [T]),
    Der(DerReader<'a>, PhantomData<T>),
}

impl<'a, T: Item<'a>> List<'a, T> {
    /// A list with the members of a slice.
    #[must_use]
    pub const fn of(members: &'a [T]) -> Self {
        Self(Source::Slice(members))
    }

    /// Reads all members to the end of `content`, at least one: all lists of the specification are `SIZE (1..MAX)`.
    pub(super) fn parse_some(content: DerReader<'a>) -> Result<Self> {
        if content.is_empty() {
            return Err(content.error(ErrorKind::Length { tag: Tag::Sequence }));
        }
        let mut reader = content;
        while !reader.is_empty() {
            T::read_item(&mut reader)?;
        }
        Ok(Self(Source::Der(content, PhantomData)))
    }

    /// The members.
    #[must_use]
    pub const fn iter(&self) -> ListIter<'a, T> {
        ListIter(self.0)
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        match &self.0 {
            Source::Slice(members) => members.is_empty(),
            Source::Der(content, _) => content.is_empty(),
        }
    }

    // Where the list is seen to be a slice, the reader need not be in the image.
    #[allow(clippy::inline_always)]
    #[inline(always)]
    pub(super) fn write(&self, writer: &mut DerWriter<'_>) {
        match self.0 {
            Source::Slice(members) => members.iter().for_each(|member| member.write_item(writer)),
            Source::Der(..) => self.iter().for_each(|member| member.write_item(writer)),
        }
    }
}

impl<'a, T: Item<'a>> IntoIterator for &List<'a, T> {
    type Item = T;
    type IntoIter = ListIter<'a, T>;

    fn into_iter(self) -> ListIter<'a, T> {
        self.iter()
    }
}

impl<'a, T: Item<'a> + PartialEq> PartialEq for List<'a, T> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<'a, T: Item<'a> + Eq> Eq for List<'a, T> {}

impl<'a, T: Item<'a> + fmt::Debug> fmt::Debug for List<'a, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

/// Iterator over the members of a [`List`].
#[derive(Clone)]
pub struct ListIter<'a, T>(Source<'a, T>);

impl<'a, T: Item<'a>> Iterator for ListIter<'a, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        match &mut self.0 {
            Source::Slice(members) => {
                let (first, rest) = members.split_first()?;
                *members = rest;
                Some(*first)
            }
            // All members were read once before, so that the first error is the end.
            Source::Der(content, _) => T::read_item(content).ok(),
        }
    }
}

impl<T> fmt::Debug for ListIter<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ListIter")
    }
}
