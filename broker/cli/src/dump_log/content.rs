//! What a record holds.

use std::io::{self, Write};

use broker_protocol::metadata_record::MetadataRecord;
use broker_protocol::record::{ControlRecord, Record, RecordBatch};

use super::Damages;

/// How records are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Only their batches are.
    None,
    /// Key, value and headers.
    Data,
    /// As records of the metadata log.
    Metadata,
}

impl Content {
    /// Control records are decoded in any view.
    pub fn print(
        self,
        batch: &RecordBatch,
        record: &Record,
        verify: bool,
        out: &mut impl Write,
    ) -> io::Result<Damages> {
        let content = if batch.is_control() {
            control(record)
        } else {
            match self {
                Content::None => return Ok(0),
                Content::Data => Ok(data(record)),
                Content::Metadata => metadata(record),
            }
        };
        match content {
            Ok(_) if verify => Ok(0),
            Ok(text) => {
                print_sizes(batch, record, out)?;
                writeln!(out, " {text}")?;
                Ok(0)
            }
            Err(reason) => {
                writeln!(out, "DAMAGED at offset {}: {reason}", record.offset)?;
                Ok(1)
            }
        }
    }
}

fn print_sizes(batch: &RecordBatch, record: &Record, out: &mut impl Write) -> io::Result<()> {
    let size = |field: &Option<bytes::Bytes>| {
        field
            .as_ref()
            .map_or("-1".to_string(), |bytes| bytes.len().to_string())
    };
    let delta = i32::try_from(record.offset - batch.base_offset()).unwrap_or(0);
    let sequence = if batch.base_sequence() < 0 {
        -1
    } else {
        batch.base_sequence().wrapping_add(delta) & i32::MAX
    };
    write!(
        out,
        "| offset: {} timestamp: {} ",
        record.offset, record.timestamp
    )?;
    write!(
        out,
        "keySize: {} valueSize: {} sequence: {sequence}",
        size(&record.key),
        size(&record.value)
    )
}

fn data(record: &Record) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers: Vec<String> = record
        .headers
        .iter()
        .map(|header| {
            format!(
                "{}={}",
                text(&header.key),
                header.value.as_deref().map_or("null".into(), text)
            )
        })
        .collect();
    let field = |field: &Option<bytes::Bytes>| field.as_deref().map_or("null".into(), text);
    format!(
        "headers: [{}] key: {} payload: {}",
        headers.join(","),
        field(&record.key),
        field(&record.value)
    )
}

fn metadata(record: &Record) -> Result<String, String> {
    let value = record
        .value
        .clone()
        .ok_or("a metadata record without a value")?;
    let decoded = MetadataRecord::decode(value).map_err(|error| error.to_string())?;
    let text = format!("{decoded:?}").replace(", unknown_tagged_fields: TaggedFields(None)", "");
    Ok(format!("payload: {text}"))
}

fn control(record: &Record) -> Result<String, String> {
    match ControlRecord::decode(record).map_err(|error| error.to_string())? {
        Some(control) => Ok(format!("{:?}: {control:?}", control.record_type())),
        None => Ok("control record of a later version".into()),
    }
}
