//! From a struct with attributes to a checked model of the structure.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{
    Data, DeriveInput, Expr, ExprLit, Field as SynField, Fields, Ident, Lit, LitInt, LitStr, Type,
};

use crate::versions::Versions;

/// The field that keeps tagged fields this version of the code does not know.
const UNKNOWN_TAGGED_FIELDS: &str = "unknown_tagged_fields";

pub struct Schema {
    pub name: Ident,
    /// Versions in which the structure exists, checked on both sides; `None` for nested structures.
    pub versions: Option<Versions>,
    pub flexible: Versions,
    pub fields: Vec<Field>,
    pub has_unknown_tagged_fields: bool,
}

pub struct Field {
    pub name: Ident,
    /// The type without `Option`.
    pub inner: Type,
    pub optional: bool,
    pub versions: Versions,
    pub nullable: Versions,
    pub tag: Option<Tag>,
    /// The value of an absent field.
    pub default: TokenStream,
    pub ignorable: bool,
}

#[derive(Clone, Copy)]
pub struct Tag {
    pub number: u32,
    pub versions: Versions,
}

impl Schema {
    pub fn parse(input: &DeriveInput) -> syn::Result<Schema> {
        let (versions, flexible) = message_attributes(input)?;
        let Data::Struct(data) = &input.data else {
            return Err(error(&input.ident, "Message is for structs"));
        };
        let Fields::Named(named) = &data.fields else {
            return Err(error(&input.ident, "Message needs named fields"));
        };
        let has_unknown = named.named.iter().any(is_unknown_tagged_fields);
        if !flexible.is_empty() && !has_unknown {
            return Err(error(
                &input.ident,
                "a flexible structure needs `unknown_tagged_fields: TaggedFields`",
            ));
        }
        let known = named
            .named
            .iter()
            .filter(|field| !is_unknown_tagged_fields(field));
        let fields = known
            .map(|field| Field::parse(field, flexible))
            .collect::<syn::Result<Vec<_>>>()?;
        let schema = Schema {
            name: input.ident.clone(),
            versions,
            flexible,
            fields,
            has_unknown_tagged_fields: has_unknown,
        };
        schema.check_tags()?;
        Ok(schema)
    }

    /// Tagged fields in tag order, which is the order on the wire.
    pub fn tagged(&self) -> Vec<(&Field, Tag)> {
        let mut tagged: Vec<_> = self
            .fields
            .iter()
            .filter_map(|field| Some((field, field.tag?)))
            .collect();
        tagged.sort_by_key(|(_, tag)| tag.number);
        tagged
    }

    fn check_tags(&self) -> syn::Result<()> {
        for pair in self.tagged().windows(2) {
            if let [(_, first), (field, second)] = pair
                && first.number == second.number
            {
                return Err(error(&field.name, "tag used twice"));
            }
        }
        Ok(())
    }
}

fn message_attributes(input: &DeriveInput) -> syn::Result<(Option<Versions>, Versions)> {
    let (mut versions, mut flexible) = (None, Versions::NONE);
    for attribute in input
        .attrs
        .iter()
        .filter(|attribute| attribute.path().is_ident("message"))
    {
        attribute.parse_nested_meta(|meta| {
            let name = meta.path.require_ident()?.to_string();
            match name.as_str() {
                "versions" => versions = Some(Versions::parse(&meta.value()?.parse::<LitStr>()?)?),
                "flexible" => flexible = Versions::parse(&meta.value()?.parse::<LitStr>()?)?,
                _ => return Err(meta.error("expected `versions` or `flexible`")),
            }
            Ok(())
        })?;
    }
    Ok((versions, flexible))
}

fn is_unknown_tagged_fields(field: &SynField) -> bool {
    field
        .ident
        .as_ref()
        .is_some_and(|name| name == UNKNOWN_TAGGED_FIELDS)
}

fn error(name: &Ident, message: &str) -> syn::Error {
    syn::Error::new(name.span(), message)
}

#[derive(Default)]
struct FieldAttributes {
    versions: Option<Versions>,
    nullable: Option<Versions>,
    tagged: Option<Versions>,
    tag: Option<u32>,
    default: Option<Expr>,
    ignorable: bool,
}

impl FieldAttributes {
    fn parse(field: &SynField) -> syn::Result<FieldAttributes> {
        let mut parsed = FieldAttributes::default();
        for attribute in field
            .attrs
            .iter()
            .filter(|attribute| attribute.path().is_ident("field"))
        {
            attribute.parse_nested_meta(|meta| parsed.take(&meta))?;
        }
        Ok(parsed)
    }

    fn take(&mut self, meta: &syn::meta::ParseNestedMeta<'_>) -> syn::Result<()> {
        let name = meta.path.require_ident()?.to_string();
        match name.as_str() {
            "versions" => self.versions = Some(Versions::parse(&meta.value()?.parse()?)?),
            "nullable" => self.nullable = Some(Versions::parse(&meta.value()?.parse()?)?),
            "tagged" => self.tagged = Some(Versions::parse(&meta.value()?.parse()?)?),
            "tag" => self.tag = Some(meta.value()?.parse::<LitInt>()?.base10_parse()?),
            "default" => self.default = Some(meta.value()?.parse()?),
            "ignorable" => self.ignorable = true,
            _ => return Err(meta.error("unknown field attribute")),
        }
        Ok(())
    }
}

impl Field {
    fn parse(field: &SynField, flexible: Versions) -> syn::Result<Field> {
        let name = field.ident.clone().expect("named field");
        let attributes = FieldAttributes::parse(field)?;
        let (inner, optional) = split_option(&field.ty);
        if optional != attributes.nullable.is_some() {
            return Err(error(&name, "`nullable` and `Option` go together"));
        }
        let tag = tag(&name, &attributes, flexible)?;
        let versions = attributes
            .versions
            .or(tag.map(|tag| tag.versions))
            .ok_or_else(|| error(&name, "`versions` is missing"))?;
        Ok(Field {
            default: default_value(attributes.default.as_ref(), inner, optional),
            inner: inner.clone(),
            optional,
            versions,
            nullable: attributes.nullable.unwrap_or(Versions::NONE),
            tag,
            ignorable: attributes.ignorable,
            name,
        })
    }
}

fn tag(name: &Ident, attributes: &FieldAttributes, flexible: Versions) -> syn::Result<Option<Tag>> {
    match (attributes.tag, attributes.tagged) {
        (None, None) => Ok(None),
        (Some(number), Some(versions)) if flexible.contains(versions) => {
            Ok(Some(Tag { number, versions }))
        }
        (Some(_), Some(_)) => Err(error(name, "`tagged` versions must be flexible")),
        _ => Err(error(name, "`tag` and `tagged` go together")),
    }
}

fn split_option(ty: &Type) -> (&Type, bool) {
    if let Type::Path(path) = ty
        && let Some(segment) = path.path.segments.last()
        && segment.ident == "Option"
        && let syn::PathArguments::AngleBracketed(arguments) = &segment.arguments
        && let Some(syn::GenericArgument::Type(inner)) = arguments.args.first()
    {
        return (inner, true);
    }
    (ty, false)
}

/// Kafka's rule: without a declared default a nullable field is empty, not null.
fn default_value(declared: Option<&Expr>, inner: &Type, optional: bool) -> TokenStream {
    match declared {
        None => wrap(
            quote!(<#inner as ::core::default::Default>::default()),
            optional,
        ),
        Some(Expr::Path(path)) if path.path.is_ident("null") => {
            quote!(::core::option::Option::None)
        }
        Some(Expr::Lit(ExprLit {
            lit: Lit::Str(text),
            ..
        })) => wrap(quote!(::std::string::String::from(#text)), optional),
        Some(value) => wrap(quote!(#value), optional),
    }
}

fn wrap(value: TokenStream, optional: bool) -> TokenStream {
    if optional {
        quote!(::core::option::Option::Some(#value))
    } else {
        value
    }
}
