//! Limits for decoders that have none of their own: how deep values may nest, and how many elements
//! of no bytes a length may announce.
//!
//! A type that holds itself is decoded by recursion, so bytes could ask for more stack than there is,
//! and that ends the process, not the decoding. A sequence of units takes no bytes, so its length
//! could ask for years. A byte or more for each element is a limit by itself.

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor,
};
use std::cell::Cell;
use std::fmt;

/// How deep values may nest: what JSON's usual decoder has, too.
pub(super) const DEEPEST: usize = 128;

/// Elements of no bytes that all sequences together may have.
pub(super) const MOST_EMPTY: usize = 65_536;

/// What is left.
#[derive(Debug)]
pub(super) struct Bounds {
    depth: Cell<usize>,
    elements: Cell<usize>,
    passed: Cell<Option<&'static str>>,
}

impl Bounds {
    /// For decoding so many bytes.
    pub(super) fn of(bytes: usize) -> Self {
        Self {
            depth: Cell::new(DEEPEST),
            elements: Cell::new(bytes.saturating_add(MOST_EMPTY)),
            passed: Cell::new(None),
        }
    }

    /// Which of the limits was passed: decoders may lose the text of an error.
    pub(super) fn passed(&self) -> Option<&'static str> {
        self.passed.get()
    }

    fn take<E: Error>(&self, left: &Cell<usize>, limit: &'static str) -> Result<(), E> {
        let Some(next) = left.get().checked_sub(1) else {
            self.passed.set(Some(limit));
            return Err(E::custom(limit));
        };
        left.set(next);
        Ok(())
    }

    /// Runs `decode` one level deeper.
    fn within<T, E: Error>(&self, decode: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        self.take(&self.depth, "it nests deeper than 128 levels")?;
        let decoded = decode();
        self.depth.set(self.depth.get() + 1);
        decoded
    }

    fn element<E: Error>(&self) -> Result<(), E> {
        let limit = "a sequence of empty elements is longer than 65,536";
        self.take(&self.elements, limit)
    }
}

/// A piece of a decoder, or of what it calls, with the limits around it.
pub(super) struct Bounded<'a, T> {
    inner: T,
    bounds: &'a Bounds,
    /// Whether the input says how many elements there are, and not the type.
    is_counted: bool,
}

impl<'a, T> Bounded<'a, T> {
    pub(super) fn new(inner: T, bounds: &'a Bounds) -> Self {
        Self {
            inner,
            bounds,
            is_counted: false,
        }
    }

    fn counted(inner: T, bounds: &'a Bounds) -> Self {
        Self {
            is_counted: true,
            ..Self::new(inner, bounds)
        }
    }

    fn with<U>(&self, inner: U) -> Bounded<'a, U> {
        Bounded {
            inner,
            bounds: self.bounds,
            is_counted: self.is_counted,
        }
    }
}

/// What holds no other values goes through as it is.
macro_rules! leaves {
    ($($name:ident)+) => {
        $(
            fn $name<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
                self.inner.$name(visitor)
            }
        )+
    };
}

/// What holds others goes a level deeper, and takes the limits along.
macro_rules! branches {
    ($($name:ident($($argument:ident: $type:ty),*) $wrap:ident;)+) => {
        $(
            fn $name<V: Visitor<'de>>(
                self,
                $($argument: $type,)*
                visitor: V,
            ) -> Result<V::Value, Self::Error> {
                let visitor = Bounded::$wrap(visitor, self.bounds);
                self.bounds.within(|| self.inner.$name($($argument,)* visitor))
            }
        )+
    };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Bounded<'_, D> {
    type Error = D::Error;

    leaves! {
        deserialize_any deserialize_ignored_any deserialize_identifier
        deserialize_bool deserialize_char deserialize_unit
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_f32 deserialize_f64
        deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf
    }

    branches! {
        deserialize_option() new;
        deserialize_newtype_struct(name: &'static str) new;
        deserialize_seq() counted;
        deserialize_map() counted;
        deserialize_tuple(len: usize) new;
        deserialize_tuple_struct(name: &'static str, len: usize) new;
        deserialize_struct(name: &'static str, fields: &'static [&'static str]) new;
        deserialize_enum(name: &'static str, variants: &'static [&'static str]) new;
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.inner.deserialize_unit_struct(name, visitor)
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Bounded<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_none()
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<V::Value, D::Error> {
        let from = self.with(from);
        self.inner.visit_some(from)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, from: D) -> Result<V::Value, D::Error> {
        let from = self.with(from);
        self.inner.visit_newtype_struct(from)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, from: A) -> Result<V::Value, A::Error> {
        let from = self.with(from);
        self.inner.visit_seq(from)
    }

    fn visit_map<A: MapAccess<'de>>(self, from: A) -> Result<V::Value, A::Error> {
        let from = self.with(from);
        self.inner.visit_map(from)
    }

    fn visit_enum<A: EnumAccess<'de>>(self, from: A) -> Result<V::Value, A::Error> {
        let from = self.with(from);
        self.inner.visit_enum(from)
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Bounded<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<S::Value, D::Error> {
        let from = Bounded::new(from, self.bounds);
        self.inner.deserialize(from)
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Bounded<'_, A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        if self.is_counted {
            self.bounds.element()?;
        }
        let seed = self.with(seed);
        self.inner.next_element_seed(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Bounded<'_, A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.bounds.element()?;
        let seed = self.with(seed);
        self.inner.next_key_seed(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        let seed = self.with(seed);
        self.inner.next_value_seed(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

impl<'a, 'de, A: EnumAccess<'de>> EnumAccess<'de> for Bounded<'a, A> {
    type Error = A::Error;
    type Variant = Bounded<'a, A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self::Variant), A::Error> {
        let (seed, bounds) = (self.with(seed), self.bounds);
        let (value, variant) = self.inner.variant_seed(seed)?;
        Ok((value, Bounded::new(variant, bounds)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Bounded<'_, A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.inner.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        let seed = self.with(seed);
        self.inner.newtype_variant_seed(seed)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        let visitor = self.with(visitor);
        self.inner.tuple_variant(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        let visitor = self.with(visitor);
        self.inner.struct_variant(fields, visitor)
    }
}
