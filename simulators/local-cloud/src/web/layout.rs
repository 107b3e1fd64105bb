//! What every page has, and the pieces that several have.

use maud::{DOCTYPE, Markup, html};

use super::{App, Said};

const NAVIGATION: [(&str, &str); 5] = [
    ("/portal", "Overview"),
    ("/portal/enrollments", "Enrolments"),
    ("/portal/devices", "Devices"),
    ("/portal/refused", "Refused"),
    ("/portal/faults", "Faults"),
];

/// A whole page; `here` is the address in the navigation that it belongs to.
pub(super) fn page(app: &App, here: &str, title: &str, content: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " – Local Cloud" }
                link rel="icon" href="data:,";
                link rel="stylesheet" href="/portal/style.css";
                script src="/portal/script.js" defer {}
            }
            body {
                a class="skip" href="#main" { "Skip to content" }
                header {
                    a class="brand" href="/portal" { span class="mark" aria-hidden="true" {} "Local Cloud" }
                    nav aria-label="Main" {
                        @for (address, name) in NAVIGATION {
                            a href=(address) aria-current=[(address == here).then_some("page")] { (name) }
                        }
                    }
                }
                main id="main" tabindex="-1" {
                    h1 { (title) }
                    @if let Some(Said { good, text }) = app.take_said() {
                        @let (class, role) = if good { ("said good", "status") } else { ("said bad", "alert") };
                        p class=(class) role=(role) { (text) }
                    }
                    (content)
                }
                footer {
                    (app.shared.config.hub_name) " · " (app.shared.config.dps_name) " · id scope "
                    (app.shared.config.id_scope)
                }
            }
        }
    }
}

/// The hidden field that every form has.
pub(super) fn form_token(app: &App) -> Markup {
    html! { input type="hidden" name="form" value=(app.form_token); }
}

/// A field with its label.
pub(super) fn field(id: &str, label: &str, input: &Markup) -> Markup {
    html! { p class="field" { label for=(id) { (label) } (input) } }
}

/// A state in a word and a colour.
pub(super) fn badge(good: bool, words: (&str, &str)) -> Markup {
    let (class, word) = if good { ("badge good", words.0) } else { ("badge", words.1) };
    html! { span class=(class) { (word) } }
}

/// The address of a device's page.
pub(super) fn device_link(id: &str) -> String {
    format!("/portal/device?id={}", crate::percent::encode(id))
}

/// The list that the script fills with events; of `device` only, if there is one.
pub(super) fn live(device: Option<&str>, label: &str) -> Markup {
    html! {
        div class="log" data-events=(device.unwrap_or_default()) role="log" tabindex="0" aria-label=(label) {
            p class="quiet" { "Nothing yet." }
        }
    }
}
