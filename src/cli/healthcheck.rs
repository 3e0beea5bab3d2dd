//! `milkrun healthcheck`: whether the running relay is ready.

use reqwest::Method;

use super::{Failure, Options};

pub(crate) async fn run(options: &Options) -> Result<(), Failure> {
    options.client()?.text(Method::GET, &["readyz"], &[], None).await?;
    Ok(())
}
