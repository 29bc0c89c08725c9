fn checkout<'a>(&'a self) -> Pin<Box<dyn Future<Output = u32> + Send + 'a>> {
    let id = self.id;
    Box::pin({
        static __HOLDUP_SITE: ::holdup::Site =
            ::holdup::Site::new("shop::checkout", ::core::file!(), ::core::line!());
        ::holdup::watch(&__HOLDUP_SITE, async move { id })
    })
}
