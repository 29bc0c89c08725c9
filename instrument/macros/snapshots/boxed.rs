fn checkout<'a>(&'a self) -> Pin<Box<dyn Future<Output = u32> + Send + 'a>> {
    let id = self.id;
    Box::pin(async move { id })
}
