use super::*;

#[test]
fn follows_redirects_with_and_without_a_scheme() {
    let start =
        Endpoint { scheme: Scheme::Http, address: "a:1".parse().unwrap(), path: "/api/v1/scheduler".into() };
    for (location, target) in [
        ("//127.0.0.1:5050/master/api/v1/scheduler", "http://127.0.0.1:5050/master/api/v1/scheduler"),
        ("http://m/x", "http://m:80/x"),
        ("https://m/x", "https://m:443/x"),
        ("/a//b", "http://a:1/a//b"),
        ("//[::1]:5050", "http://[::1]:5050/api/v1/scheduler"),
        ("/elsewhere", "http://a:1/elsewhere"),
    ] {
        assert_eq!(start.redirected(location).unwrap().to_string(), target);
    }
    let secure = Endpoint { scheme: Scheme::Https, ..start.clone() };
    assert_eq!(secure.redirected("//b:2/x").unwrap().to_string(), "https://b:2/x");
    assert_eq!(secure.redirected("http://b:2/x"), Err(AddressError::Redirect("http://b:2/x".into())));
    for location in ["", "ftp://a:1/x", "//", "relative", "//a:x/"] {
        assert_eq!(start.redirected(location), Err(AddressError::Redirect(location.into())));
    }
}
