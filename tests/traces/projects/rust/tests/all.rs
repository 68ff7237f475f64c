use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::{env, fs, thread, time::Duration};

#[test]
fn numbers() {
    assert_eq!(demo::text(7), "7");
}

#[test]
fn threads_and_sockets() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || listener.accept().unwrap().0.write_all(b"hi").unwrap());
    let mut text = String::new();
    TcpStream::connect(address).unwrap().read_to_string(&mut text).unwrap();
    server.join().unwrap();
    assert_eq!(text, "hi");
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(1).unwrap());
    assert_eq!(receiver.recv_timeout(Duration::from_secs(10)), Ok(1));
}

#[test]
fn files_and_children() {
    let folder = env::temp_dir().join(format!("demo-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("a"), vec![1; 100_000]).unwrap();
    assert_eq!(fs::copy(folder.join("a"), folder.join("b")).unwrap(), 100_000);
    fs::rename(folder.join("b"), folder.join("c")).unwrap();
    fs::hard_link(folder.join("a"), folder.join("d")).unwrap();
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 3);
    fs::remove_dir_all(&folder).unwrap();
    let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"x").unwrap();
    assert_eq!(child.wait_with_output().unwrap().stdout, b"x");
}
