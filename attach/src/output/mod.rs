//! Dumps and recordings in the formats that people and other tools read.

mod flame;
mod folded;
mod speedscope;
mod text;

pub use self::flame::{FlameError, flame_graph};
pub use self::folded::folded;
pub use self::speedscope::speedscope;
pub use self::text::{Look, text};
