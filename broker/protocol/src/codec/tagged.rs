//! Tagged fields this code does not know (KIP-482): kept, and written back in tag order.

use bytes::Bytes;

use super::{EncodeError, EncodeErrorKind, Writer};

/// One tagged field as it stood on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaggedField {
    pub tag: u32,
    pub data: Bytes,
}

/// Unknown tagged fields of one structure, in tag order. One word, because every structure has it and
/// almost none needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaggedFields(Option<Box<NonEmpty>>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct NonEmpty {
    fields: Vec<TaggedField>,
}

impl TaggedFields {
    /// Whether there are none, which is the rule.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The fields, in tag order.
    pub fn as_slice(&self) -> &[TaggedField] {
        self.0.as_ref().map_or(&[], |some| &some.fields)
    }

    /// Appends a field. Tags must grow; encoding reports it if they do not.
    pub fn push(&mut self, field: TaggedField) {
        self.0.get_or_insert_default().fields.push(field);
    }

    /// Writes how many fields follow, `known` ones included.
    pub fn begin(
        &self,
        writer: &mut Writer,
        known: usize,
    ) -> Result<TaggedFieldsWriter<'_>, EncodeError> {
        let rest = self.as_slice();
        let count = known + rest.len();
        let count =
            u32::try_from(count).map_err(|_| EncodeError::new(EncodeErrorKind::TooLong(count)))?;
        writer.unsigned_varint(count);
        Ok(TaggedFieldsWriter {
            rest,
            previous: None,
        })
    }
}

/// Merges unknown fields between the known ones.
#[derive(Debug)]
pub struct TaggedFieldsWriter<'a> {
    rest: &'a [TaggedField],
    previous: Option<u32>,
}

impl TaggedFieldsWriter<'_> {
    /// Writes the unknown fields that come before the known field `tag`.
    #[inline]
    pub fn write_below(&mut self, writer: &mut Writer, tag: u32) -> Result<(), EncodeError> {
        if self.rest.is_empty() {
            return Ok(());
        }
        self.write_while(writer, |field| field.tag < tag)?;
        self.advance_to(tag)
    }

    /// Writes the unknown fields behind the last known one.
    #[inline]
    pub fn write_rest(&mut self, writer: &mut Writer) -> Result<(), EncodeError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            self.write_while(writer, |_| true)
        }
    }

    fn write_while(
        &mut self,
        writer: &mut Writer,
        wanted: impl Fn(&TaggedField) -> bool,
    ) -> Result<(), EncodeError> {
        while let Some((field, rest)) = self.rest.split_first().filter(|(field, _)| wanted(field)) {
            self.rest = rest;
            self.advance_to(field.tag)?;
            writer.tagged_field(field.tag, |writer| {
                writer.raw(&field.data);
                Ok(())
            })?;
        }
        Ok(())
    }

    fn advance_to(&mut self, tag: u32) -> Result<(), EncodeError> {
        if self.previous.is_some_and(|previous| previous >= tag) {
            return Err(EncodeError::new(EncodeErrorKind::TagOrder(tag)));
        }
        self.previous = Some(tag);
        Ok(())
    }
}
