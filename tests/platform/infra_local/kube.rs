//! A stand-in for the Kubernetes API: it takes what it is given and tells what it was given. It knows no rules, and of an
//! object only its metadata. The provider speaks protobuf (k8s.io/apimachinery/pkg/runtime: an envelope after four bytes).

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

#[derive(Default)]
struct Known {
    objects: BTreeMap<String, Value>,
    written: Vec<u8>,
}

pub struct Kube {
    pub address: String,
    known: Arc<Mutex<Known>>,
}

impl Kube {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let known = Arc::<Mutex<Known>>::default();
        let shared = Arc::clone(&known);
        // It ends with the test's process: accepting is all that it does.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                answer(&stream, &shared);
            }
        });
        Self { address, known }
    }

    /// All that was written, as text.
    pub fn holds(&self) -> String {
        String::from_utf8_lossy(&self.known.lock().unwrap().written).into_owned()
    }
}

fn answer(mut stream: &TcpStream, known: &Mutex<Known>) {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first).unwrap();
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).unwrap();
        if header.trim().is_empty() {
            break;
        }
        if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let mut words = first.split_whitespace();
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = target.split('?').next().unwrap();
    let (status, object) = decide(method, path, &body, &mut known.lock().unwrap());
    let text = object.to_string();
    write!(
        stream,
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
        text.len()
    )
    .unwrap();
}

fn decide(method: &str, path: &str, body: &[u8], known: &mut Known) -> (u16, Value) {
    let missing = (404, json!({"kind": "Status", "apiVersion": "v1", "reason": "NotFound", "code": 404}));
    match method {
        "POST" => {
            known.written.extend_from_slice(body);
            let object = metadata(body);
            let name = object["metadata"]["name"].as_str().unwrap();
            known.objects.insert(format!("{path}/{name}"), object.clone());
            (201, object)
        }
        "GET" => known.objects.get(path).map_or(missing, |object| (200, object.clone())),
        "DELETE" => known.objects.remove(path).map_or(missing, |object| (200, object)),
        _ => (405, json!({"kind": "Status", "apiVersion": "v1", "code": 405})),
    }
}

/// What is known of an object afterwards: its kind, name, namespace and labels.
fn metadata(body: &[u8]) -> Value {
    let envelope = fields(&body[4..]);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let one = |of: &[(u64, Vec<u8>)], number| {
        of.iter().find(|field| field.0 == number).map(|field| field.1.clone())
    };
    let kind = one(&fields(&one(&envelope, 1).unwrap()), 2).unwrap();
    let metadata = fields(&one(&fields(&one(&envelope, 2).unwrap()), 1).unwrap());
    let labels: BTreeMap<_, _> = metadata
        .iter()
        .filter(|field| field.0 == 11)
        .map(|field| fields(&field.1))
        .map(|pair| (text(&one(&pair, 1).unwrap()), text(&one(&pair, 2).unwrap_or_default())))
        .collect();
    json!({
        "apiVersion": "v1", "kind": text(&kind), "type": "Opaque",
        "metadata": {
            "name": text(&one(&metadata, 1).unwrap()), "namespace": text(&one(&metadata, 3).unwrap_or_default()),
            "labels": labels, "uid": "11111111-2222-3333-4444-555555555555", "resourceVersion": "1",
        },
    })
}

/// The fields of a protobuf message, by number; numbers among them are left out.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = number(&mut bytes);
        match key & 7 {
            0 => _ = number(&mut bytes),
            2 => {
                let length = usize::try_from(number(&mut bytes)).unwrap();
                let (value, rest) = bytes.split_at(length);
                found.push((key >> 3, value.to_vec()));
                bytes = rest;
            }
            other => panic!("wire type {other} was not expected"),
        }
    }
    found
}

fn number(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let (first, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            break;
        }
    }
    value
}
