//! Keys of feeds: which are taken, and that what is encrypted to them opens with the tenant's private half.

use std::time::Instant;

use josekit::jwe::{self, ECDH_ES, JweDecrypter, RSA_OAEP_256};
use josekit::jwk::Jwk;
use josekit::jwk::alg::ec::EcCurve;
use josekit::jwk::alg::ecx::EcxCurve;
use seal::{FeedKey, FeedKeyError};
use serde_json::{Value, json};

/// One private key of each kind that is taken.
fn private_keys() -> Vec<Jwk> {
    vec![
        Jwk::generate_ec_key(EcCurve::P256).unwrap(),
        Jwk::generate_ec_key(EcCurve::P384).unwrap(),
        Jwk::generate_ec_key(EcCurve::P521).unwrap(),
        Jwk::generate_ecx_key(EcxCurve::X25519).unwrap(),
        Jwk::generate_rsa_key(2048).unwrap(),
    ]
}

fn public(private: &Jwk) -> Value {
    let mut public = serde_json::to_value(private.as_ref()).unwrap();
    for secret in ["d", "p", "q", "dp", "dq", "qi"] {
        public.as_object_mut().unwrap().remove(secret);
    }
    public
}

fn decrypter(private: &Jwk) -> Box<dyn JweDecrypter> {
    match private.key_type() {
        "RSA" => Box::new(RSA_OAEP_256.decrypter_from_jwk(private).unwrap()),
        _ => Box::new(ECDH_ES.decrypter_from_jwk(private).unwrap()),
    }
}

#[test]
fn what_is_encrypted_to_a_public_key_opens_with_its_private_one_only() {
    let event = json!({"text": "ñ שלום 🙏 ".repeat(40)}).to_string();
    for private in private_keys() {
        let mut jwk = public(&private);
        jwk["kid"] = json!("2026-05 \"a\"");
        let key = FeedKey::parse(&jwk.to_string()).unwrap();
        assert_eq!(key.key_id(), Some("2026-05 \"a\""));
        let compact = key.encrypt(event.as_bytes()).unwrap();
        let (opened, header) = jwe::deserialize_compact(&compact, &*decrypter(&private)).unwrap();
        assert_eq!(opened, event.as_bytes());
        let expected = if private.key_type() == "RSA" { "RSA-OAEP-256" } else { "ECDH-ES" };
        assert_eq!((header.algorithm(), key.algorithm()), (Some(expected), expected));
        assert_eq!(header.content_encryption(), Some("A256GCM"));
        assert_eq!(header.content_type(), Some("application/json"));
        assert_eq!(header.token_type(), Some("JOSE"));
        assert_eq!(header.key_id(), Some("2026-05 \"a\""));
        assert_ne!(compact, key.encrypt(event.as_bytes()).unwrap(), "a fresh key each time");

        let other = match private.key_type() {
            "RSA" => Jwk::generate_rsa_key(2048).unwrap(),
            "OKP" => Jwk::generate_ecx_key(EcxCurve::X25519).unwrap(),
            _ => Jwk::generate_ec_key(EcCurve::P256).unwrap(),
        };
        assert!(jwe::deserialize_compact(&compact, &*decrypter(&other)).is_err());
        let mut changed = compact.clone();
        let last = changed.pop().unwrap();
        // The lowest bits of a last digit may stand for nothing: turn its highest.
        changed.push(if last < 'a' { 'z' } else { 'A' });
        assert!(jwe::deserialize_compact(&changed, &*decrypter(&private)).is_err());
        assert_eq!(format!("{key:?}"), format!("FeedKey({})", key.thumbprint()));
    }
}

#[test]
fn the_thumbprint_is_that_of_rfc_7638() {
    let jwk = include_str!("../../vectors/rfc7638.json");
    assert_eq!(FeedKey::parse(jwk).unwrap().thumbprint(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
}

#[track_caller]
fn refused(jwk: &Value, expected: fn(&FeedKeyError) -> bool) {
    let error = FeedKey::parse(&jwk.to_string()).expect_err("it is refused");
    assert!(expected(&error), "{error:?}");
}

/// The key with one member set, or taken away with null.
fn with(jwk: &Value, name: &str, value: Value) -> Value {
    let mut jwk = jwk.clone();
    jwk[name] = value;
    jwk
}

#[test]
fn keys_that_protect_nothing_or_too_much_are_refused() {
    let [ec, _, _, okp, rsa] = <[Jwk; 5]>::try_from(private_keys()).unwrap();
    for private in [&ec, &okp, &rsa] {
        let private = serde_json::to_value(private.as_ref()).unwrap();
        refused(&private, |error| matches!(error, FeedKeyError::Private));
    }
    let said = FeedKey::parse(&ec.to_string()).unwrap_err().to_string();
    assert!(said.contains("give its public one"), "{said}");
    assert!(matches!(
        FeedKey::parse("-----BEGIN PRIVATE KEY-----\nMC4=\n-----END PRIVATE KEY-----"),
        Err(FeedKeyError::Private)
    ));
    let (ec, okp, rsa) = (public(&ec), public(&okp), public(&rsa));
    for (name, value) in [("d", json!("AA")), ("p", json!(1)), ("oth", json!([]))] {
        refused(&with(&rsa, name, value), |error| matches!(error, FeedKeyError::Private));
    }
    refused(&json!({"keys": [ec]}), |error| matches!(error, FeedKeyError::Set));
    refused(&json!({"kty": "oct", "k": "AAAA"}), |error| matches!(error, FeedKeyError::Secret));
    for jwk in [
        json!({"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"}),
        json!({"kty": "OKP", "crv": "Ed25519", "x": "AA"}),
        json!({"kty": "OKP", "crv": "X448", "x": "AA"}),
        json!({"kty": "EC"}),
        json!({"kty": "new"}),
    ] {
        refused(&jwk, |error| matches!(error, FeedKeyError::Kind));
    }
    for jwk in [json!({}), json!([]), json!("x"), json!({"kty": 5}), json!({"kty": "RSA", "n": "AQAB"})] {
        refused(&jwk, |error| matches!(error, FeedKeyError::NotJwk));
    }
    // A point beside the curve, a short one, one that gives every sender the same secret, no base64url.
    let x = ec["x"].clone();
    for jwk in [
        with(&ec, "y", x),
        with(&ec, "x", json!("AAAA")),
        with(&ec, "crv", json!("P-384")),
        with(&ec, "x", json!(format!("{}=", ec["x"].as_str().unwrap()))),
        with(&okp, "x", json!("A".repeat(43))),
        with(&okp, "x", json!("é")),
    ] {
        refused(&jwk, |error| matches!(error, FeedKeyError::Numbers));
    }
    let n = rsa["n"].as_str().unwrap();
    for jwk in [
        public(&Jwk::generate_rsa_key(1024).unwrap()),
        with(&rsa, "e", json!("AQ")),
        with(&rsa, "e", json!("AA")),
        with(&rsa, "e", json!("Ag")),
        with(&rsa, "e", json!("AAEAAQ")),
        with(&rsa, "e", json!("")),
        with(&rsa, "n", json!("")),
        with(&rsa, "n", json!(format!("AAAA{n}"))),
        with(&rsa, "n", json!("/".replace('/', "_").repeat(2732))),
    ] {
        refused(&jwk, |error| matches!(error, FeedKeyError::Rsa));
    }
    for jwk in [
        with(&ec, "use", json!("sig")),
        with(&ec, "alg", json!("ES256")),
        with(&ec, "key_ops", json!(["verify"])),
        with(&rsa, "alg", json!("RSA1_5")),
        with(&rsa, "key_ops", json!(["verify"])),
    ] {
        refused(&jwk, |error| matches!(error, FeedKeyError::Use { .. }));
    }
    refused(&with(&ec, "kid", json!("k".repeat(201))), |error| matches!(error, FeedKeyError::KeyId));
    for jwk in [
        with(&with(&ec, "use", json!("enc")), "alg", json!("ECDH-ES")),
        with(&ec, "key_ops", json!([])),
        with(&ec, "key_ops", json!(["deriveBits"])),
        with(&rsa, "key_ops", json!(["wrapKey"])),
        with(&with(&rsa, "x5t", json!("new")), "alg", json!("RSA-OAEP-256")),
    ] {
        FeedKey::parse(&jwk.to_string()).unwrap();
    }
}

#[test]
fn what_encrypting_costs() {
    let event = vec![b'x'; 1024];
    for private in private_keys() {
        let key = FeedKey::parse(&public(&private).to_string()).unwrap();
        let rounds = 100;
        let since = Instant::now();
        let bytes: usize = (0..rounds).map(|_| key.encrypt(&event).unwrap().len()).sum();
        let micros = since.elapsed().as_micros() / rounds;
        let bytes = bytes / usize::try_from(rounds).unwrap();
        assert!(bytes > event.len() * 4 / 3, "it holds the event");
        let kind = private.curve().unwrap_or("RSA 2048");
        println!("measured=jwe-1KiB key={kind:?} alg={} micros={micros} bytes={bytes}", key.algorithm());
    }
}
