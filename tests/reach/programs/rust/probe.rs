//! A client with tokio, linked statically. If an operation fails, the name of the errno is printed and the exit status
//! is 1.
use std::io::{Error, ErrorKind, Result};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{lookup_host, TcpStream, UdpSocket};

const REQUEST: &[u8] = b"GET / HTTP/1.0\r\nHost: x\r\n\r\n";

async fn get(host: &str, port: u16) -> Result<String> {
    let mut stream = TcpStream::connect((host, port)).await?;
    let mut reply = String::new();
    stream.write_all(REQUEST).await?;
    stream.read_to_string(&mut reply).await?;
    Ok(reply
        .split_once("\r\n\r\n")
        .map_or(reply.clone(), |(_, body)| body.to_string()))
}

async fn udp(host: &str, port: u16, text: &str) -> Result<String> {
    let address = lookup_host((host, port))
        .await?
        .next()
        .ok_or(ErrorKind::NotFound)?;
    let any = if address.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    };
    let socket = UdpSocket::bind(any).await?;
    let mut reply = [0; 65536];
    socket.send_to(text.as_bytes(), address).await?;
    let received = socket.recv_from(&mut reply);
    let (len, source) = tokio::time::timeout(Duration::from_secs(20), received).await??;
    if source != address {
        return Err(Error::new(
            ErrorKind::Other,
            format!("a reply from {source}"),
        ));
    }
    Ok(String::from_utf8_lossy(&reply[..len]).to_string() + "\n")
}

fn name_of(error: &Error) -> String {
    match error.raw_os_error() {
        Some(1) => "EPERM".to_string(),
        Some(13) => "EACCES".to_string(),
        Some(90) => "EMSGSIZE".to_string(),
        Some(101) => "ENETUNREACH".to_string(),
        Some(104) => "ECONNRESET".to_string(),
        Some(110) => "ETIMEDOUT".to_string(),
        Some(111) => "ECONNREFUSED".to_string(),
        Some(113) => "EHOSTUNREACH".to_string(),
        _ if error.kind() == ErrorKind::TimedOut => "ETIMEDOUT".to_string(),
        _ if error.to_string().contains("Name or service not known") => "EAI_NONAME".to_string(),
        _ if error.to_string().contains("Temporary failure") => "EAI_AGAIN".to_string(),
        _ => error.to_string(),
    }
}

async fn run(arguments: &[&str]) -> Result<String> {
    let port = |text: &str| {
        text.parse::<u16>()
            .map_err(|_| Error::from(ErrorKind::InvalidInput))
    };
    match arguments {
        ["get", host, number] => get(host, port(number)?).await,
        ["udp", host, number, text] => udp(host, port(number)?, text).await,
        _ => Err(Error::new(
            ErrorKind::Other,
            "unknown command, or a wrong number of arguments",
        )),
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match runtime.block_on(run(&arguments)) {
        Ok(text) => print!("{text}"),
        Err(error) => {
            println!("{}", name_of(&error));
            std::process::exit(1);
        }
    }
}
