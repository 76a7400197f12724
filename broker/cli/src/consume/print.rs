//! A record on a line, by the properties of Kafka's console consumer.

use std::io::{self, Write};

use broker_client::ConsumerRecord;

/// What is printed of a record, and what between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Printer {
    timestamp: bool,
    partition: bool,
    offset: bool,
    headers: bool,
    key: bool,
    value: bool,
    key_separator: String,
    line_separator: String,
    null_literal: String,
}

impl Default for Printer {
    fn default() -> Printer {
        Printer {
            timestamp: false,
            partition: false,
            offset: false,
            headers: false,
            key: false,
            value: true,
            key_separator: "\t".into(),
            line_separator: "\n".into(),
            null_literal: "null".into(),
        }
    }
}

impl Printer {
    /// The error names what is wrong.
    pub fn from_properties(properties: &[String]) -> Result<Printer, String> {
        let mut printer = Printer::default();
        for property in properties {
            let named = |reason: &str| format!("--property {property}: {reason}");
            let (name, value) = property
                .split_once('=')
                .ok_or_else(|| named("expected NAME=VALUE"))?;
            printer.set(name, value).map_err(named)?;
        }
        Ok(printer)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), &'static str> {
        if let Some(text) = self.text(name) {
            value.clone_into(text);
            return Ok(());
        }
        let flag = self.flag(name).ok_or("unknown property")?;
        *flag = value.parse().map_err(|_| "must be true or false")?;
        Ok(())
    }

    fn text(&mut self, name: &str) -> Option<&mut String> {
        match name {
            "key.separator" => Some(&mut self.key_separator),
            "line.separator" => Some(&mut self.line_separator),
            "null.literal" => Some(&mut self.null_literal),
            _ => None,
        }
    }

    fn flag(&mut self, name: &str) -> Option<&mut bool> {
        match name {
            "print.timestamp" => Some(&mut self.timestamp),
            "print.partition" => Some(&mut self.partition),
            "print.offset" => Some(&mut self.offset),
            "print.headers" => Some(&mut self.headers),
            "print.key" => Some(&mut self.key),
            "print.value" => Some(&mut self.value),
            _ => None,
        }
    }

    /// Keys and values as they are, byte by byte.
    pub fn print(&self, out: &mut impl Write, record: &ConsumerRecord) -> io::Result<()> {
        let mut separator = "";
        let mut next = |out: &mut dyn Write| {
            out.write_all(separator.as_bytes())?;
            separator = &self.key_separator;
            io::Result::Ok(())
        };
        if self.timestamp {
            next(out)?;
            write!(out, "CreateTime:{}", record.timestamp)?;
        }
        if self.partition {
            next(out)?;
            write!(out, "Partition:{}", record.partition)?;
        }
        if self.offset {
            next(out)?;
            write!(out, "Offset:{}", record.offset)?;
        }
        if self.headers {
            next(out)?;
            self.print_headers(out, record)?;
        }
        if self.key {
            next(out)?;
            out.write_all(
                record
                    .key
                    .as_deref()
                    .unwrap_or(self.null_literal.as_bytes()),
            )?;
        }
        if self.value {
            next(out)?;
            out.write_all(
                record
                    .value
                    .as_deref()
                    .unwrap_or(self.null_literal.as_bytes()),
            )?;
        }
        out.write_all(self.line_separator.as_bytes())
    }

    fn print_headers(&self, out: &mut impl Write, record: &ConsumerRecord) -> io::Result<()> {
        if record.headers.is_empty() {
            return out.write_all(b"NO_HEADERS");
        }
        for (index, header) in record.headers.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(out, "{comma}{}:", String::from_utf8_lossy(&header.key))?;
            out.write_all(
                header
                    .value
                    .as_deref()
                    .unwrap_or(self.null_literal.as_bytes()),
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use broker_client::Header;
    use bytes::Bytes;

    fn record() -> ConsumerRecord {
        ConsumerRecord {
            topic: "t".into(),
            partition: 3,
            offset: 42,
            leader_epoch: broker_protocol::ids::LeaderEpoch(0),
            timestamp: 1000,
            key: None,
            value: Some(Bytes::from_static(b"v")),
            headers: vec![Header {
                key: Bytes::from_static(b"h"),
                value: Some(Bytes::from_static(b"1")),
            }],
        }
    }

    fn printed(properties: &[&str]) -> String {
        let properties: Vec<String> = properties.iter().map(ToString::to_string).collect();
        let mut out = Vec::new();
        let printer = Printer::from_properties(&properties).expect("known properties");
        printer.print(&mut out, &record()).expect("memory");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn by_default_the_value_is_printed() {
        assert_eq!(printed(&[]), "v\n");
    }

    #[test]
    fn properties_choose_what_is_printed_in_kafkas_order() {
        let all = [
            "print.key=true",
            "print.offset=true",
            "print.partition=true",
            "print.timestamp=true",
            "print.headers=true",
        ];
        assert_eq!(
            printed(&all),
            "CreateTime:1000\tPartition:3\tOffset:42\th:1\tnull\tv\n"
        );
        assert_eq!(
            printed(&[
                "print.key=true",
                "key.separator=|",
                "line.separator=;",
                "null.literal=-"
            ]),
            "-|v;"
        );
    }

    #[test]
    fn wrong_properties_are_named() {
        for (property, reason) in [
            ("print.key=maybe", "must be true or false"),
            ("print.all=true", "unknown"),
            ("print.key", "NAME=VALUE"),
        ] {
            let error = Printer::from_properties(&[property.to_string()]).expect_err("wrong");
            assert!(
                error.contains(property) && error.contains(reason),
                "{error}"
            );
        }
    }
}
