//! A trait's declaration has no body.

trait Shop {
    #[holdup::detect_blocking]
    async fn checkout(&self);
}

fn main() {}
