pub async fn checkout<'a, T: Send>(&self, id: &'a T) -> Result<&'a T, impl Display> {
    self.pay(id).await?;
    Ok(id)
}
