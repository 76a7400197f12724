//! Derive macro of the wire codec: one struct with attributes is the schema of one Kafka structure.
//!
//! Map: [`versions`] (`"0+"`, `"3-7"`, `"none"`) · [`schema`] (attributes to a checked model) ·
//! [`expand`] (model to `Default`, `Encode`, `Decode`, `Field`, `Nullable` and a test generator).
//!
//! ```text
//! #[derive(Clone, Debug, PartialEq, Eq, Message)]
//! #[message(versions = "4-18", flexible = "12+")]     // versions: top-level structures only
//! pub struct FetchRequest {
//!     #[field(versions = "12+", nullable = "12+", tag = 0, tagged = "12+", default = null, ignorable)]
//!     pub cluster_id: Option<String>,
//!     #[field(versions = "0-14", default = -1)]
//!     pub replica_id: i32,
//!     pub unknown_tagged_fields: TaggedFields,         // required where `flexible` is not "none"
//! }
//! ```
//!
//! The emitted code names its runtime `::broker_protocol::codec`.

mod expand;
mod schema;
mod versions;

use proc_macro::TokenStream;

/// See the crate's documentation for the attributes. Wrong combinations are compile errors.
#[proc_macro_derive(Message, attributes(message, field))]
pub fn derive_message(input: TokenStream) -> TokenStream {
    let input = syn::parse_macro_input!(input as syn::DeriveInput);
    schema::Schema::parse(&input)
        .map(|schema| expand::expand(&schema))
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}
