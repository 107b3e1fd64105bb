//! The page of the enrolments, and what its forms do.

use std::time::SystemTime;

use axum::Form;
use axum::extract::{Multipart, State};
use axum::response::Response;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use maud::{Markup, html};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::actions::{Fields, Outcome, checked, done};
use super::layout::{self, badge, field, form_token};
use super::{App, Shown};
use crate::cert::ClientCertificate;
use crate::enrollment::{Attestation, Enrollment};
use crate::service::new_key;

const HERE: &str = "/portal/enrollments";

pub(super) async fn page(State(app): State<Shown>) -> Markup {
    let (individual, groups) =
        (app.shared.enrollments.all_individuals(), app.shared.enrollments.all_groups());
    let content = html! {
        section class="card" {
            h2 { "Individual enrolments" }
            (table(&app, "individual", &individual))
        }
        section class="card" {
            h2 { "Groups" }
            (table(&app, "group", &groups))
        }
        div class="columns" {
            form class="card" method="post" action="/portal/enrollments/upload" enctype="multipart/form-data" {
                h2 { "Add a certificate" }
                p class="quiet" {
                    "A device's own certificate is an individual enrolment: its common name is the registration id. An \
                    authority's certificate is a group."
                }
                (form_token(&app))
                (field("pem", "Certificate (.pem)", &html! {
                    input id="pem" name="pem" type="file" accept=".pem,.cer,.crt,.der" required;
                }))
                (field("kind", "Enrol it as", &html! {
                    select id="kind" name="kind" {
                        option value="individual" { "individual enrolment" }
                        option value="group" { "group" }
                    }
                }))
                (field("group-id", "Name of the group", &html! {
                    input id="group-id" name="id" autocomplete="off" placeholder="for a group only";
                }))
                p { button class="primary" { "Upload" } }
            }
            form class="card" method="post" action="/portal/enrollments/key" {
                h2 { "Create a key" }
                p class="quiet" { "For one device, or for a group whose devices derive their own from it." }
                (form_token(&app))
                (field("key-id", "Registration id or name", &html! {
                    input id="key-id" name="id" required maxlength="128" autocomplete="off";
                }))
                (field("key-kind", "For", &html! {
                    select id="key-kind" name="kind" {
                        option value="individual" { "one device" }
                        option value="group" { "a group" }
                    }
                }))
                p { button class="primary" { "Create" } }
            }
        }
    };
    layout::page(&app, HERE, "Enrolments", &content)
}

fn attestation(enrollment: &Enrollment) -> String {
    match &enrollment.attestation {
        Attestation::X509 { primary, .. } => match ClientCertificate::from_der(primary) {
            Ok(certificate) => {
                let thumbprint: String = certificate.thumbprints().1.chars().take(16).collect();
                format!("certificate {thumbprint}…")
            }
            Err(_) => "a certificate that cannot be read".to_owned(),
        },
        Attestation::SymmetricKey { .. } => "symmetric key".to_owned(),
        Attestation::Tpm { .. } => "TPM".to_owned(),
    }
}

fn table(app: &App, kind: &str, list: &[Enrollment]) -> Markup {
    if list.is_empty() {
        return html! { p class="quiet" { "None yet." } };
    }
    html! {
        div class="scroll" {
            table {
                thead { tr { th { "Id" } th { "Shows" } th { "State" } th { "Change" } } }
                tbody { @for enrollment in list { (row(app, kind, enrollment)) } }
            }
        }
    }
}

fn row(app: &App, kind: &str, enrollment: &Enrollment) -> Markup {
    let (change, word) = if enrollment.enabled { ("disable", "Disable") } else { ("enable", "Enable") };
    html! {
        tr {
            td data-label="Id" { code { (enrollment.id) } }
            td data-label="Shows" {
                (attestation(enrollment))
                @if let Attestation::SymmetricKey { primary, .. } = &enrollment.attestation {
                    details { summary { "Show" } code tabindex="0" { (BASE64_STANDARD.encode(primary)) } }
                }
            }
            td data-label="State" { (badge(enrollment.enabled, ("enabled", "disabled"))) }
            td {
                @if enrollment.etag.is_empty() {
                    span class="quiet" { "a file in the folder" }
                } @else {
                    form method="post" action="/portal/enrollments/change" class="row" {
                        (form_token(app))
                        input type="hidden" name="kind" value=(kind);
                        input type="hidden" name="id" value=(enrollment.id);
                        button name="do" value=(change) { (word) }
                        button name="do" value="delete" class="danger" { "Delete" }
                    }
                }
            }
        }
    }
}

pub(super) async fn upload(State(app): State<Shown>, mut form: Multipart) -> Response {
    let mut fields = Fields::new();
    let mut pem = Vec::new();
    let read: Result<(), String> = async {
        while let Some(part) = form.next_field().await.map_err(|e| e.to_string())? {
            let name = part.name().unwrap_or_default().to_owned();
            let bytes = part.bytes().await.map_err(|e| e.to_string())?;
            if name == "pem" {
                pem = bytes.to_vec();
            } else {
                fields.insert(name, String::from_utf8_lossy(&bytes).into_owned());
            }
        }
        Ok(())
    }
    .await;
    let outcome = read.and_then(|()| enroll_certificate(&app, &fields, &pem));
    done(&app, outcome, HERE)
}

fn enroll_certificate(app: &App, fields: &Fields, pem: &[u8]) -> Outcome {
    let field = checked(app, fields)?;
    let der = match CertificateDer::from_pem_slice(pem) {
        Ok(der) => der.to_vec(),
        // DER begins with a SEQUENCE.
        Err(_) if pem.first() == Some(&0x30) => pem.to_vec(),
        Err(_) => {
            return Err(
                "The file has no certificate between BEGIN CERTIFICATE and END CERTIFICATE.".to_owned()
            );
        }
    };
    let not_taken = |e| format!("The file was not taken: {e}.");
    let certificate = ClientCertificate::from_der(&der).map_err(not_taken)?;
    certificate.check_validity(SystemTime::now()).map_err(not_taken)?;
    let common_name = certificate.common_name().unwrap_or_default();
    let attestation = Attestation::certificate(der);
    if field("kind") == "group" {
        let id = Some(field("id").trim()).filter(|id| !id.is_empty()).unwrap_or(common_name);
        check_id(id)?;
        if !certificate.is_authority() {
            return Err("A group wants an authority's certificate, and this is a device's.".to_owned());
        }
        app.shared.enrollments.put_group(Enrollment::new(id, attestation));
        return Ok(format!("Group {id}: every device with a certificate below this authority may register."));
    }
    check_id(common_name)
        .map_err(|e| format!("The certificate's common name is the registration id. {e}"))?;
    app.shared.enrollments.put_individual(Enrollment::new(common_name, attestation));
    Ok(format!("{common_name} is enrolled: the device may register."))
}

fn check_id(id: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
    if (1..=128).contains(&id.len()) && id.chars().all(allowed) {
        Ok(())
    } else {
        Err(format!("{id:?} cannot be an id, which has 1 to 128 letters, digits, and - . _ :"))
    }
}

pub(super) async fn create_key(State(app): State<Shown>, Form(fields): Form<Fields>) -> Response {
    let outcome = checked(&app, &fields).and_then(|field| {
        let id = field("id").trim();
        check_id(id)?;
        let attestation = Attestation::SymmetricKey { primary: new_key(), secondary: Some(new_key()) };
        let enrollment = Enrollment::new(id, attestation);
        if field("kind") == "group" {
            app.shared.enrollments.put_group(enrollment);
        } else {
            app.shared.enrollments.put_individual(enrollment);
        }
        Ok(format!("{id} has a key: it is in the list."))
    });
    done(&app, outcome, HERE)
}

pub(super) async fn change(State(app): State<Shown>, Form(fields): Form<Fields>) -> Response {
    let outcome = checked(&app, &fields).and_then(|field| {
        let (id, what, list) = (field("id"), field("do"), &app.shared.enrollments);
        let group = field("kind") == "group";
        let all = if group { list.all_groups() } else { list.all_individuals() };
        let found = all.into_iter().find(|e| e.id == id);
        let mut enrollment = found.ok_or_else(|| format!("There is no enrolment {id}."))?;
        if what == "delete" {
            if group {
                list.remove_group(id);
            } else {
                list.remove_individual(id);
            }
            return Ok(format!("{id} is not enrolled any more. A device that is at the hub stays there."));
        }
        enrollment.enabled = what == "enable";
        if group {
            list.put_group(enrollment);
        } else {
            list.put_individual(enrollment);
        }
        Ok(format!("{id} is {what}d."))
    });
    done(&app, outcome, HERE)
}
