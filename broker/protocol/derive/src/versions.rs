//! Version sets as Kafka writes them: `"0+"`, `"3-7"`, `"4"`, `"none"`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::LitStr;

/// A closed range of versions; empty when `low > high`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    pub low: i16,
    pub high: i16,
}

impl Versions {
    pub const NONE: Versions = Versions { low: 0, high: -1 };

    pub fn parse(literal: &LitStr) -> syn::Result<Versions> {
        parse_text(&literal.value()).ok_or_else(|| {
            syn::Error::new(
                literal.span(),
                "expected \"N\", \"N+\", \"N-M\" or \"none\"",
            )
        })
    }

    pub fn is_empty(self) -> bool {
        self.low > self.high
    }

    pub fn contains(self, other: Versions) -> bool {
        other.is_empty() || (self.low <= other.low && other.high <= self.high)
    }

    /// Like [`Versions::test`], for a version that nobody checked yet: it may be negative.
    pub fn test_unchecked(self) -> TokenStream {
        let Versions { low, high } = self;
        quote!((#low..=#high).contains(&version))
    }

    /// An expression of type bool over the variable `version`, which is not negative.
    pub fn test(self) -> TokenStream {
        let Versions { low, high } = self;
        match (low, high) {
            _ if self.is_empty() => quote!(false),
            (0, i16::MAX) => quote!(true),
            (_, i16::MAX) => quote!(version >= #low),
            (0, _) => quote!(version <= #high),
            _ if low == high => quote!(version == #low),
            _ => quote!((#low..=#high).contains(&version)),
        }
    }
}

fn parse_text(text: &str) -> Option<Versions> {
    if text == "none" {
        return Some(Versions::NONE);
    }
    let (low, high) = if let Some(low) = text.strip_suffix('+') {
        (low.parse().ok()?, i16::MAX)
    } else if let Some((low, high)) = text.split_once('-') {
        (low.parse().ok()?, high.parse().ok()?)
    } else {
        let only = text.parse().ok()?;
        (only, only)
    };
    (0 <= low && low <= high).then_some(Versions { low, high })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kafkas_notation_is_understood() {
        assert_eq!(
            parse_text("0+"),
            Some(Versions {
                low: 0,
                high: i16::MAX
            })
        );
        assert_eq!(parse_text("3-7"), Some(Versions { low: 3, high: 7 }));
        assert_eq!(parse_text("4"), Some(Versions { low: 4, high: 4 }));
        assert_eq!(parse_text("none"), Some(Versions::NONE));
        for wrong in ["", "+", "7-3", "-1", "a", "1-"] {
            assert_eq!(parse_text(wrong), None, "{wrong}");
        }
    }
}
