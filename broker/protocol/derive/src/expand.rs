//! From the model to code.

use proc_macro2::TokenStream;
use quote::quote;

use crate::schema::{Field, Schema, Tag};
use crate::versions::Versions;

pub fn expand(schema: &Schema) -> TokenStream {
    let default = expand_default(schema);
    let encode = expand_encode(schema);
    let decode = expand_decode(schema);
    let field = expand_field(schema);
    let arbitrary = expand_arbitrary(schema);
    quote! {
        const _: () = {
            use ::broker_protocol::codec as __codec;
            #default
            #encode
            #decode
            #field
            #arbitrary
        };
    }
}

fn expand_default(schema: &Schema) -> TokenStream {
    let name = &schema.name;
    let fields = schema
        .fields
        .iter()
        .map(|Field { name, default, .. }| quote!(#name: #default,));
    let unknown = unknown_initializer(schema, &quote!(::core::default::Default::default()));
    quote! {
        impl ::core::default::Default for #name {
            fn default() -> Self {
                #name { #(#fields)* #unknown }
            }
        }
    }
}

fn unknown_initializer(schema: &Schema, value: &TokenStream) -> TokenStream {
    if schema.has_unknown_tagged_fields {
        quote!(unknown_tagged_fields: #value,)
    } else {
        quote!()
    }
}

fn expand_encode(schema: &Schema) -> TokenStream {
    let (name, text) = (&schema.name, schema.name.to_string());
    let exists = exists(schema);
    let flexible = schema.flexible.test();
    let fields = schema.fields.iter().map(|field| encode_field(field, &text));
    let tagged = encode_tagged(schema, &text);
    quote! {
        impl __codec::Encode for #name {
            #[allow(unused_variables, unused_comparisons, clippy::absurd_extreme_comparisons)]
            fn encode(&self, writer: &mut __codec::Writer, version: i16)
                -> ::core::result::Result<(), __codec::EncodeError>
            {
                if !(#exists) {
                    return Err(__codec::EncodeError::unsupported_version(#text, version));
                }
                let flexible: bool = #flexible;
                #(#fields)*
                #tagged
                Ok(())
            }
        }
    }
}

fn exists(schema: &Schema) -> TokenStream {
    schema
        .versions
        .map_or(quote!(true), Versions::test_unchecked)
}

fn encode_field(field: &Field, structure: &str) -> TokenStream {
    let (name, text, default) = (&field.name, field.name.to_string(), &field.default);
    let present = field.versions.test();
    let write = encode_value(field);
    let write = quote! {
        #write.map_err(|error: __codec::EncodeError| error.in_field(#structure, #text))?;
    };
    // A tagged field is written after the others; at an untagged version it stands in its place.
    let write = match field.tag {
        None => write,
        Some(tag) => {
            let tagged = tag.versions.test();
            quote!(if !(#tagged) { #write })
        }
    };
    let absent = if field.ignorable {
        quote!()
    } else {
        quote! {
            else if self.#name != #default {
                return Err(__codec::EncodeError::not_in_version(#structure, #text, version));
            }
        }
    };
    quote!(if #present { #write } #absent)
}

/// An expression of type `Result<(), EncodeError>`.
fn encode_value(field: &Field) -> TokenStream {
    let (name, inner) = (&field.name, &field.inner);
    if !field.optional {
        return quote!(<#inner as __codec::Field>::write(&self.#name, writer, version, flexible));
    }
    let nullable = field.nullable.test();
    quote! {
        (if #nullable {
            <#inner as __codec::Nullable>::write_nullable(self.#name.as_ref(), writer, version, flexible)
        } else {
            match &self.#name {
                Some(value) => <#inner as __codec::Field>::write(value, writer, version, flexible),
                None => Err(__codec::EncodeError::null(version)),
            }
        })
    }
}

fn encode_tagged(schema: &Schema, structure: &str) -> TokenStream {
    if !schema.has_unknown_tagged_fields {
        return quote!();
    }
    let tagged = schema.tagged();
    let known = tagged.iter().map(|(field, tag)| {
        let set = tagged_is_set(field, *tag);
        quote!(if #set { known += 1; })
    });
    let writes = tagged
        .iter()
        .map(|(field, tag)| encode_tagged_field(field, *tag, structure));
    quote! {
        if flexible {
            #[allow(unused_mut)]
            let mut known: usize = 0;
            #(#known)*
            let mut unknown = self.unknown_tagged_fields.begin(writer, known)
                .map_err(|error| error.in_field(#structure, "tagged fields"))?;
            #(#writes)*
            unknown.write_rest(writer).map_err(|error| error.in_field(#structure, "tagged fields"))?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(__codec::EncodeError::not_in_version(#structure, "unknown_tagged_fields", version));
        }
    }
}

fn tagged_is_set(field: &Field, tag: Tag) -> TokenStream {
    let (name, default, present) = (&field.name, &field.default, tag.versions.test());
    quote!(#present && self.#name != #default)
}

fn encode_tagged_field(field: &Field, tag: Tag, structure: &str) -> TokenStream {
    let (number, text) = (tag.number, field.name.to_string());
    let set = tagged_is_set(field, tag);
    let value = encode_value(field);
    quote! {
        if #set {
            unknown.write_below(writer, #number).map_err(|error| error.in_field(#structure, #text))?;
            writer.tagged_field(#number, |writer| #value)
                .map_err(|error| error.in_field(#structure, #text))?;
        }
    }
}

fn expand_decode(schema: &Schema) -> TokenStream {
    let (name, text) = (&schema.name, schema.name.to_string());
    let exists = exists(schema);
    let flexible = schema.flexible.test();
    let fields = schema.fields.iter().map(|field| decode_field(field, &text));
    let tagged = decode_tagged(schema, &text);
    let names = schema.fields.iter().map(|field| &field.name);
    let unknown = unknown_initializer(schema, &quote!(unknown_tagged_fields));
    quote! {
        impl __codec::Decode for #name {
            #[allow(unused_variables, unused_mut, unused_comparisons, clippy::absurd_extreme_comparisons)]
            fn decode(reader: &mut __codec::Reader, version: i16)
                -> ::core::result::Result<Self, __codec::DecodeError>
            {
                if !(#exists) {
                    return Err(reader.error(__codec::DecodeErrorKind::UnsupportedVersion(version))
                        .in_field(#text, ""));
                }
                let flexible: bool = #flexible;
                #(#fields)*
                #tagged
                Ok(#name { #(#names,)* #unknown })
            }
        }
    }
}

fn decode_field(field: &Field, structure: &str) -> TokenStream {
    let Field {
        name,
        inner,
        default,
        ..
    } = field;
    let (text, value) = (name.to_string(), decode_value(field));
    let present = match field.tag {
        None => field.versions.test(),
        Some(tag) => {
            let (present, tagged) = (field.versions.test(), tag.versions.test());
            quote!(#present && !(#tagged))
        }
    };
    let ty = if field.optional {
        quote!(::core::option::Option<#inner>)
    } else {
        quote!(#inner)
    };
    quote! {
        let mut #name: #ty = if #present {
            #value.map_err(|error: __codec::DecodeError| error.in_field(#structure, #text))?
        } else {
            #default
        };
    }
}

/// An expression of type `Result<field type, DecodeError>`.
fn decode_value(field: &Field) -> TokenStream {
    let inner = &field.inner;
    if !field.optional {
        return quote!(<#inner as __codec::Field>::read(reader, version, flexible));
    }
    let nullable = field.nullable.test();
    quote! {
        (if #nullable {
            <#inner as __codec::Nullable>::read_nullable(reader, version, flexible)
        } else {
            <#inner as __codec::Field>::read(reader, version, flexible).map(::core::option::Option::Some)
        })
    }
}

fn decode_tagged(schema: &Schema, structure: &str) -> TokenStream {
    if !schema.has_unknown_tagged_fields {
        return quote!();
    }
    let known = schema.tagged().into_iter().map(|(field, tag)| {
        let (name, text, number) = (&field.name, field.name.to_string(), tag.number);
        let (present, value) = (tag.versions.test(), decode_value(field));
        quote! {
            #number if #present => {
                #name = #value.map_err(|error: __codec::DecodeError| error.in_field(#structure, #text))?;
                Ok(true)
            }
        }
    });
    quote! {
        let mut unknown_tagged_fields = __codec::TaggedFields::default();
        if flexible {
            unknown_tagged_fields = reader.tagged_fields(|reader, tag| match tag {
                #(#known)*
                _ => Ok(false),
            }).map_err(|error| error.in_field(#structure, "tagged fields"))?;
        }
    }
}

fn expand_field(schema: &Schema) -> TokenStream {
    let name = &schema.name;
    quote! {
        impl __codec::Field for #name {
            fn write(&self, writer: &mut __codec::Writer, version: i16, _flexible: bool)
                -> ::core::result::Result<(), __codec::EncodeError>
            {
                __codec::Encode::encode(self, writer, version)
            }
            fn read(reader: &mut __codec::Reader, version: i16, _flexible: bool)
                -> ::core::result::Result<Self, __codec::DecodeError>
            {
                __codec::Decode::decode(reader, version)
            }
        }
        impl __codec::NullableStruct for #name {}
    }
}

/// A generator of values that survive a round trip at a given version.
fn expand_arbitrary(schema: &Schema) -> TokenStream {
    let name = &schema.name;
    let flexible = schema.flexible.test();
    let fields = schema.fields.iter().map(arbitrary_field);
    let tags = schema
        .tagged()
        .into_iter()
        .map(|(_, tag)| tag.number)
        .collect::<Vec<_>>();
    let unknown = unknown_initializer(
        schema,
        &quote!(if #flexible { generator.unknown_tagged_fields(&[#(#tags),*]) } else { ::core::default::Default::default() }),
    );
    quote! {
        #[cfg(any(test, feature = "arbitrary"))]
        impl __codec::arbitrary::Arbitrary for #name {
            #[allow(unused_variables, unused_comparisons, clippy::absurd_extreme_comparisons)]
            fn arbitrary(generator: &mut __codec::arbitrary::Generator, version: i16) -> Self {
                #name { #(#fields)* #unknown }
            }
        }
    }
}

fn arbitrary_field(field: &Field) -> TokenStream {
    let Field {
        name,
        inner,
        default,
        ..
    } = field;
    let (present, nullable) = (field.versions.test(), field.nullable.test());
    let value = quote!(<#inner as __codec::arbitrary::Arbitrary>::arbitrary(generator, version));
    let value = if field.optional {
        quote!(if #nullable && generator.one_in(4) { None } else { Some(#value) })
    } else {
        value
    };
    // Defaults are worth their share: they decide whether a tagged field is written at all.
    quote!(#name: if #present && !generator.one_in(8) { #value } else { #default },)
}
