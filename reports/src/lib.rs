//! Results to JSON, Markdown, JUnit.
