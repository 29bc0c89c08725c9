//! `#[holdup::detect_blocking]` on every kind of function.

use std::fmt::Display;
use std::pin::Pin;

use async_trait::async_trait;
use holdup::detect_blocking;

use crate::session::{Session, block, names, on_one_thread};

#[detect_blocking]
async fn free() -> u32 {
    block(20);
    1
}

#[detect_blocking(name = "it::renamed", threshold = "5ms")]
async fn with_arguments() {
    block(8);
}

#[detect_blocking(threshold = "5s")]
async fn with_patience() {
    block(20);
}

#[detect_blocking]
async fn generic<'a, T, const N: usize>(
    text: &'a T,
    (first, mut second): (u32, u32),
    extra: impl Into<u32>,
) -> Result<&'a T, Box<dyn std::error::Error>>
where
    T: Display + ?Sized,
{
    block(20);
    second += first + extra.into() + u32::try_from(N)?;
    if second == 0 {
        return Err("zero".into());
    }
    Ok(text)
}

#[detect_blocking]
async fn returns_impl_trait() -> impl Iterator<Item = u32> {
    block(20);
    [1, 2].into_iter()
}

#[detect_blocking]
fn returns_future(seed: u32) -> impl Future<Output = u32> {
    let doubled = seed * 2;
    async move {
        block(20);
        doubled
    }
}

#[detect_blocking]
fn returns_boxed<'a>(text: &'a str) -> Pin<Box<dyn Future<Output = usize> + Send + 'a>> {
    Box::pin(async move {
        block(20);
        text.len()
    })
}

struct Shop<T>(T);

impl<T: Clone> Shop<T> {
    #[detect_blocking]
    async fn by_reference(&mut self) -> T {
        block(20);
        self.0.clone()
    }

    #[detect_blocking]
    async fn by_value(self) -> T {
        block(20);
        self.0
    }
}

trait Native {
    async fn native(&self) -> u32;
    #[detect_blocking]
    async fn provided(&self) -> u32 {
        block(20);
        9
    }
}

impl Native for Shop<u32> {
    #[detect_blocking]
    async fn native(&self) -> u32 {
        block(20);
        self.0
    }
}

#[async_trait]
trait Boxed {
    async fn boxed(&self, text: &str) -> Result<usize, std::num::ParseIntError>;
}

#[async_trait]
impl Boxed for Shop<u32> {
    #[detect_blocking]
    async fn boxed(&self, text: &str) -> Result<usize, std::num::ParseIntError> {
        block(20);
        let number = text.parse::<usize>()?;
        Ok(number)
    }
}

#[test]
fn each_kind_of_function_is_timed_under_its_own_name() {
    let session = Session::start();
    on_one_thread(async {
        assert_eq!(free().await, 1);
        with_arguments().await;
        with_patience().await;
        assert_eq!(generic::<str, 3>("x", (1, 2), 3_u16).await.unwrap(), "x");
        assert_eq!(returns_impl_trait().await.sum::<u32>(), 3);
        assert_eq!(returns_future(4).await, 8);
        assert_eq!(returns_boxed("four").await, 4);
        let mut shop = Shop(7_u32);
        assert_eq!(shop.by_reference().await, 7);
        assert_eq!(shop.native().await, 7);
        assert_eq!(shop.provided().await, 9);
        assert_eq!(shop.boxed("12").await, Ok(12));
        assert!(shop.boxed("twelve").await.is_err());
        assert_eq!(shop.by_value().await, 7);
    });
    let expected = [
        "it::attribute::Native::provided",
        "it::attribute::Shop::boxed",
        "it::attribute::Shop::boxed",
        "it::attribute::Shop::by_reference",
        "it::attribute::Shop::by_value",
        "it::attribute::Shop::native",
        "it::attribute::free",
        "it::attribute::generic",
        "it::attribute::returns_boxed",
        "it::attribute::returns_future",
        "it::attribute::returns_impl_trait",
        "it::renamed",
    ];
    assert_eq!(names(&session.finish()), expected);
}

#[test]
fn the_place_is_that_of_the_function() {
    let session = Session::start();
    on_one_thread(free());
    let polls = session.finish();
    assert!(polls[0].text("code.file.path").unwrap().ends_with("it/attribute.rs"));
    let source = include_str!("attribute.rs");
    let line = source.lines().position(|line| line.starts_with("async fn free")).unwrap() + 1;
    assert_eq!(polls[0].integer("code.line.number"), Some(line as u64));
}

#[test]
fn futures_stay_send() {
    fn is_send<T: Send>(_: &T) {}
    is_send(&free());
    is_send(&generic::<str, 3>("x", (1, 2), 3_u16));
}
