use super::*;

fn masters(text: &str) -> Result<String, AddressError> {
    text.parse::<Masters>().map(|masters| masters.to_string())
}

#[test]
fn reads_one_or_several_masters() {
    for (text, read) in [
        ("127.0.0.1:5050", "127.0.0.1:5050"),
        ("localhost", "localhost:5050"),
        ("http://m1:80/", "m1:80"),
        (" a:1, b:2 ,c ", "a:1,b:2,c:5050"),
        ("[::1]", "[::1]:5050"),
        ("http://[fe80::1]:81", "[fe80::1]:81"),
        ("https://a/, https://b:1", "https://a:5050,https://b:1"),
        (" zk://u:p@a:1,b/mesos ", "zk://…@a:1,b:2181/mesos"),
    ] {
        assert_eq!(masters(text).as_deref(), Ok(read));
    }
}

#[test]
fn errors_name_the_problem_of_an_address() {
    use AddressError::*;
    let text = String::from;
    for (given, error) in [
        ("", Empty),
        ("a:1,,b:2", Empty),
        ("a:", Port(text("a:"))),
        ("a:0", Port(text("a:0"))),
        ("a:+1", Port(text("a:+1"))),
        ("a:65536", Port(text("a:65536"))),
        ("a:b", Port(text("a:b"))),
        (":5050", Host(text(":5050"))),
        ("::1", Host(text("::1"))),
        ("::1:5050", Host(text("::1:5050"))),
        ("fe80::1", Host(text("fe80::1"))),
        ("[::1", Host(text("[::1"))),
        ("[x]:1", Host(text("[x]:1"))),
        ("[::1]1", Port(text("[::1]1"))),
        ("a b:1", Host(text("a b:1"))),
        ("http://a:1/b", Port(text("a:1/b"))),
        ("http://u:p@a:1", Host(text("…@a:1"))),
        ("u:p@a:1", Host(text("…@a:1"))),
        ("ftp://a:1", Scheme(text("ftp://a:1"))),
        ("https://a:1,b:2", MixedSchemes(text("https://a:1,b:2"))),
        ("zk://u:p@a:1,b:2", ZooKeeperPath(text("a:1,b:2"))),
        ("a:1,zk://u:p@b:2/mesos", ZooKeeperInList(text("zk://…@b:2/mesos"))),
    ] {
        assert_eq!(masters(given), Err(error), "{given}");
    }
    assert_eq!(
        masters("ftp://a").unwrap_err().to_string(),
        "\"ftp://a\": unknown scheme ftp://; expected HOST:PORT, http://, https:// or zk://HOST:PORT/PATH"
    );
}
