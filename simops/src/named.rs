//! Enums whose values have names.

/// Defines an enum from a table of values and their names. JSON, databases and logs use the names.
macro_rules! named {
    ($(#[$meta:meta])* pub enum $type:ident { $($(#[$doc:meta])* $value:ident = $name:tt,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[derive(serde::Serialize, serde::Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        pub enum $type {
            $($(#[$doc])* #[serde(rename = $name)] $value,)+
        }

        impl $type {
            /// The names of all values, in the order of their declaration.
            pub const NAMES: [&'static str; [$($name),+].len()] = [$($name),+];

            /// All values, in the order of their declaration.
            pub const ALL: [Self; Self::NAMES.len()] = [$(Self::$value),+];

            /// The name of the value.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$value => $name,)+
                }
            }

            /// The value with this name.
            pub fn parse(name: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|value| value.as_str() == name)
            }
        }
    };
}
