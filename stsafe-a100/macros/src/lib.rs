//! Two attributes that let one source file serve as an async and as a blocking driver.
//!
//! A file is included twice as a module, once where `front` names [`macro@keep`] and once where it names
//! [`macro@strip`]; every item with async code in it carries `#[front]`.

use proc_macro::{Group, TokenStream, TokenTree};

/// Leaves the item as it is written: async.
#[proc_macro_attribute]
pub fn keep(_: TokenStream, item: TokenStream) -> TokenStream {
    item
}

/// Removes `async` and `.await` from the item: blocking.
#[proc_macro_attribute]
pub fn strip(_: TokenStream, item: TokenStream) -> TokenStream {
    blocking(item)
}

/// Recursion is as deep as the source's brackets.
fn blocking(tokens: TokenStream) -> TokenStream {
    let mut out: Vec<TokenTree> = Vec::new();
    for token in tokens {
        match token {
            TokenTree::Ident(ident) if ident.to_string() == "async" => {}
            TokenTree::Ident(ident) if ident.to_string() == "await" => {
                // The dot before it goes too.
                out.pop();
            }
            TokenTree::Group(group) => {
                let mut inner = Group::new(group.delimiter(), blocking(group.stream()));
                inner.set_span(group.span());
                out.push(inner.into());
            }
            other => out.push(other),
        }
    }
    out.into_iter().collect()
}
