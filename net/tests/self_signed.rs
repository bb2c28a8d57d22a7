//! Servers whose certificate is signed by itself, as `openssl req -x509` makes it.

#[path = "support/support.rs"]
mod support;

use std::error::Error;
use std::path::Path;

use net::tls::Trust;
use net::{DialOptions, Dialer, Fingerprint, Tls};
use rcgen::{CertificateParams, CustomExtension, IsCa, KeyUsagePurpose, date_time_ymd};
use support::authority::{Authority, SelfSigned};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A public key of the curve P-521, in DER form as base64, as are the following ones.
const P_521: &str = "\
    MIGbMBAGByqGSM49AgEGBSuBBAAjA4GGAAQAOGynm9Ltekqcw0Zvbe80dm56Zpi7e3oxtNuINkb9kD4vMh6ms2afKxRBt2/uxoji\
    7r2Nua85sOAAkFEe1JI7mNgAPPN0pAfLrrJgeyFjOLsNMCTXA65vZzQT/U+86E0pHy8Up9g3PABliQhhvZTqap11ubaYQ4X/P0/c\
    GyiQXAkOupE=";
/// A key of the kind Ed448.
const ED_448: &str = "\
    MEMwBQYDK2VxAzoAObEizrQCfC9xISrmKiCKQvZkcOEN85nEYkUYCUyeuKBELpWK9Y9jlEKSUc8Y5YIXRrEufGmXUdqA";
/// A key of the kind RSASSA-PSS.
const RSA_PSS: &str = "\
    MIIBIDALBgkqhkiG9w0BAQoDggEPADCCAQoCggEBAORg+z9h9DEEk4XIKgO7NGLuXwCw1w+o51q/oBXkNZmNuP9xHwa0ISvrndX7\
    fHRqtJJlkgeHaF5j69MWr2+idoRa1zzVzj5uaONifdZxTUmjJKaHOyclAFjICTnWm+1aic5O9Ln7QvoWAaZe1GouFA8L0Db3eLd6\
    NY/1cw0RAZ80FKEULiE0Z2xCClwgfbF4Nb02v+GfL3qS4E14yY8YrF2CPCzg0Acja/MFtLLI+ym05XwP/LdxvpC585GLrAw2vEPG\
    P3WzpVIcHQXQZlzA5pS/A7iPv8Sybuy3Z584iAKrykExk4PlkQgg4OPkkvPIV9a4jC5az2FF+aLtz9Zzz2UCAwEAAQ==";
/// An RSA key of 1024 bits.
const RSA_1024: &str = "\
    MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDqUhQbVqzxHFWrpqrypdpsSS/iDpS3KPsW/oM7b4Ctmb1qg/Kk1ZAtNWrzovnR\
    das3W9H/f0ck/hW+27DTmwOlcWRl+WuXHwzDVDKti9pqPIPPxVcJBiPobRXqTpAy4/AGIB4STjZcDvIp/nPIxNZEpxpPpU6n54Vf\
    fBFJd3Mx/QIDAQAB";

/// Starts a server that makes TLS handshakes. Returns its port.
async fn serve(tls: TlsAcceptor) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let tls = tls.clone();
            tokio::spawn(async move { tls.accept(stream).await.map(drop) });
        }
    });
    port
}

fn dialer(trust: Trust) -> Dialer {
    Dialer::new(&DialOptions { trust, proxy: None }, true).unwrap()
}

async fn works(file: &Path, host: &str, port: u16) {
    let connected = dialer(Trust::from_file(file).unwrap()).connect(host, port, true).await;
    connected.unwrap_or_else(|error| panic!("{host}: {error:?}"));
}

/// The text of the error, which must not contain names of Rust types.
async fn refused(file: &Path, host: &str, port: u16) -> String {
    let Err(error) = dialer(Trust::from_file(file).unwrap()).connect(host, port, true).await else {
        panic!("connected to {host}")
    };
    let causes = std::iter::successors(error.source(), |error| (*error).source());
    let text = causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"));
    for rust in ["Other", "Error", "CaUsed", "NotValid", "Unknown", "Context", "invalid peer"] {
        assert!(!text.contains(rust), "{text}");
    }
    text
}

#[tokio::test]
async fn exactly_the_certificate_in_the_file_is_accepted_even_that_of_an_authority() {
    let server = SelfSigned::with("x", &["localhost", "127.0.0.1"], |_| {});
    let port = serve(server.acceptor.clone()).await;
    works(&server.file(), "localhost", port).await;
    works(&server.file(), "127.0.0.1", port).await;

    // A certificate that is not in the file is refused, even if its names and subject are the same.
    let other = SelfSigned::with("x", &["localhost", "127.0.0.1"], |_| {});
    let text = refused(&other.file(), "localhost", port).await;
    assert!(text.contains("signed by itself") && text.contains("CN=x") && text.contains("CA file"), "{text}");
    let text = refused(&Authority::new().file(), "localhost", port).await;
    assert!(text.contains("contains this very certificate"), "{text}");

    // A file may contain several certificates.
    let both = [other.file(), server.file()].map(|file| std::fs::read_to_string(file).unwrap()).concat();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("both.pem"), both).unwrap();
    works(&folder.path().join("both.pem"), "localhost", port).await;
    let pinned = Trust::Pinned(vec![Fingerprint::of(server.der())]);
    assert!(dialer(pinned).connect("127.0.0.1", port, true).await.is_ok());
}

/// The user trusts the certificate of one server. No other certificate that the key of this server has signed is trusted.
/// Otherwise, whoever has this key could pose as any other server.
#[tokio::test]
async fn a_given_certificate_of_no_authority_is_not_trusted_for_what_its_key_has_signed() {
    let no_ca = |params: &mut CertificateParams| params.is_ca = IsCa::ExplicitNoCa;
    let no_signing =
        |params: &mut CertificateParams| params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let not_said = |params: &mut CertificateParams| params.is_ca = IsCa::NoCa;
    let given = [
        SelfSigned::with("master.example", &["127.0.0.1"], no_ca),
        SelfSigned::with("master.example", &["127.0.0.1"], not_said),
        SelfSigned::with("master.example", &["127.0.0.1"], no_signing),
    ];
    for server in given {
        works(&server.file(), "127.0.0.1", serve(server.acceptor.clone()).await).await;
        let text = refused(&server.file(), "localhost", serve(server.acceptor.clone()).await).await;
        assert!(text.contains("is for 127.0.0.1, not for localhost"), "{text}");
        for name in ["localhost", "127.0.0.1"] {
            let text = refused(&server.file(), name, serve(server.signs_for(&[name])).await).await;
            assert!(text.contains("CN=master.example") && text.contains("CA:TRUE"), "{text}");
        }
        // The server is refused even if the user's file also contains the certificate of an authority.
        let both =
            [server.file(), Authority::new().file()].map(|file| std::fs::read_to_string(file).unwrap());
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("both.pem");
        std::fs::write(&file, both.concat()).unwrap();
        let text = refused(&file, "localhost", serve(server.signs_for(&["localhost"])).await).await;
        assert!(text.contains("CA:TRUE"), "{text}");
    }
    // An authority's is.
    let authority = SelfSigned::with("ca", &[], |_| {});
    works(&authority.file(), "localhost", serve(authority.signs_for(&["localhost"])).await).await;
}

/// Old authorities have such certificates, and curl accepts them.
#[tokio::test]
async fn an_authority_of_version_1_or_with_key_usage_alone_may_sign() {
    let key_usage = |params: &mut CertificateParams| {
        params.is_ca = IsCa::NoCa;
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    };
    for authority in
        [SelfSigned::with("old", &[], |_| {}).of_version_1(), SelfSigned::with("old", &[], key_usage)]
    {
        let port = serve(authority.signs_for(&["localhost"])).await;
        works(&authority.file(), "localhost", port).await;
        let stranger = SelfSigned::with("old", &[], |_| {}).of_version_1();
        refused(&stranger.file(), "localhost", port).await;
    }
}

#[tokio::test]
async fn a_certificate_without_alternative_names_is_for_its_common_name() {
    let server = SelfSigned::with("localhost", &[], |_| {});
    let port = serve(server.acceptor.clone()).await;
    works(&server.file(), "localhost", port).await;
    let text = refused(&server.file(), "127.0.0.1", port).await;
    for part in ["is for localhost, not for 127.0.0.1", "subjectAltName=IP:127.0.0.1", "CA:FALSE"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let both = SelfSigned::with("localhost", &["elsewhere.example"], |_| {});
    let port = serve(both.acceptor.clone()).await;
    let text = refused(&both.file(), "localhost", port).await;
    assert!(text.contains("is for elsewhere.example, not for localhost"), "{text}");
}

#[tokio::test]
async fn the_dates_of_a_given_certificate_count() {
    let expired =
        SelfSigned::with("x", &["localhost"], |params| params.not_after = date_time_ymd(2020, 1, 1));
    let port = serve(expired.acceptor.clone()).await;
    let text = refused(&expired.file(), "localhost", port).await;
    assert!(text.contains("CN=x) expired on Jan  1 00:00:00 2020"), "{text}");
    let early = SelfSigned::with("x", &["localhost"], |params| params.not_before = date_time_ymd(3000, 1, 1));
    let port = serve(early.acceptor.clone()).await;
    let text = refused(&early.file(), "localhost", port).await;
    assert!(text.contains("is not valid before Jan  1 00:00:00 3000") && text.contains("clock"), "{text}");
}

/// The certificate is public. A server that shows it must also have its key.
#[tokio::test]
async fn a_server_with_the_certificate_but_another_key_is_refused() {
    let server = SelfSigned::with("x", &["localhost"], |_| {});
    let thief = server.with_another_key();
    let port = serve(thief).await;
    let text = refused(&server.file(), "localhost", port).await;
    assert!(text.contains("does not prove that it has the private key"), "{text}");
}

/// The certificate is accepted as far as the user is concerned, so the text must not say to give it.
fn assert_says_how_to_make_another(text: &str, what: &str) {
    for part in [what, "openssl req -x509 -newkey rsa:2048", "subjectAltName=DNS:localhost"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("very certificate") && !text.contains("signed by itself"), "{text}");
}

#[tokio::test]
async fn a_given_certificate_that_is_not_supported_is_named_with_its_property() {
    let extension = |number: u64| {
        move |params: &mut CertificateParams| {
            let mut extension = CustomExtension::from_oid_content(&[2, 5, 29, number], vec![0x30, 0]);
            extension.set_criticality(true);
            params.custom_extensions.push(extension);
        }
    };
    let with_key = |key| SelfSigned::with("x", &["localhost"], |_| {}).with_public_key(key);
    for (server, what) in [
        (with_key(P_521), "(CN=x) cannot be used here: its key is P-521"),
        (with_key(ED_448), "its key is Ed448"),
        (with_key(RSA_PSS), "its key is RSA only for signatures of the kind PSS"),
        (with_key(RSA_1024), "its key is RSA with 1024 bits"),
        (SelfSigned::with("x", &["localhost"], extension(32)), "certificatePolicies is marked as critical"),
        (SelfSigned::with("x", &["localhost"], extension(36)), "policyConstraints is marked as critical"),
        (SelfSigned::with("x", &["localhost"], extension(99)), "2.5.29.99 is marked as critical"),
    ] {
        let port = serve(server.with_another_key()).await;
        assert_says_how_to_make_another(&refused(&server.file(), "localhost", port).await, what);
    }
}

/// A server with such a key has no signature in common with this program, so it never shows its certificate.
#[tokio::test]
async fn a_handshake_that_fails_because_of_the_given_key_says_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(&[21, 3, 3, 0, 2, 2, 40]).await;
        }
    });
    let server = SelfSigned::with("x", &["localhost"], |_| {}).with_public_key(P_521);
    let text = refused(&server.file(), "localhost", port).await;
    assert_says_how_to_make_another(&text, "(CN=x: its key is P-521");
    let text = refused(&SelfSigned::with("x", &[], |_| {}).file(), "localhost", port).await;
    assert!(text.contains("kind of key") && text.contains("wants a client certificate"), "{text}");
}

#[tokio::test]
async fn tls_files_trust_a_given_server_too() {
    let server = SelfSigned::with("localhost", &[], |_| {});
    let port = serve(server.acceptor.clone()).await;
    let files = net::tls::TlsFiles { ca_cert: Some(server.file()), client: None };
    let tls = Some(Tls::from_files(&files).unwrap());
    assert!(Dialer { tls, ..Dialer::default() }.connect("localhost", port, true).await.is_ok());
}
