pub async fn checkout<'a, T: Send>(&self, id: &'a T) -> Result<&'a T, impl Display> {
    fn __holdup_here() {}
    static __HOLDUP_SITE: ::holdup::Site =
        ::holdup::Site::around(__holdup_here, ::core::file!(), ::core::line!())
            .threshold(::core::time::Duration::from_nanos(200000000u64));
    ::holdup::watch(&__HOLDUP_SITE, async move {
        #[allow(clippy::diverging_sub_expression, clippy::needless_return, unreachable_code)]
        if let ::core::option::Option::Some(__holdup_returned) =
            ::core::option::Option::None::<Result<&'a T, _>>
        {
            return __holdup_returned;
        }
        self.pay(id).await?;
        Ok(id)
    })
    .await
}
