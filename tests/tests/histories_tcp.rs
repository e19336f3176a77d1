//! Generated conversations over TCP against the real program, killed at any step: the flash of a controller
//! with two banks only ever holds whole released images, and one with a single bank always gets there.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use headgate_tests::peers::run;
use headgate_tests::{Bench, Plc, digest, eventually, exchange, image};

const BLOCK: usize = 240;
/// Whole blocks of the Panasonic battery unit as well.
const LEN: usize = 96 * 60;

/// Small and reproducible: the seed of a history is all that is needed to play it again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        (self.roll() % n as u64) as usize
    }

    /// True in `percent` of all cases.
    fn chance(&mut self, percent: u64) -> bool {
        self.roll() % 100 < percent
    }
}

/// Bytes of the disk whose power is cut: copied at each cut.
const DISK: u64 = 96 << 20;

/// The bench with three images of its controller's vendor released for as long as the test runs.
fn prepare(mut bench: Bench, profile: &str, way: &str) -> (Bench, Plc, Vec<Vec<u8>>) {
    let whole = image();
    let images: Vec<Vec<u8>> = (0..3).map(|n| whole[n * LEN..(n + 1) * LEN].to_vec()).collect();
    let plc = bench.controller("pump-3", profile, way, &images[0]);
    let dir = bench.dir.path();
    assert_eq!(run(dir, "openssl", &["genpkey", "-algorithm", "ed25519", "-out", "acme.pem"]).code, 0);
    assert_eq!(run(dir, "openssl", &["pkey", "-in", "acme.pem", "-pubout", "-out", "acme.pub"]).code, 0);
    bench.headgate(&["trust", "add", "acme.pub", "--name", "acme", "--vendor", "acme", "--model", "px-200"]);
    for (n, image) in images.iter().enumerate() {
        let (name, sig) = (format!("{n}.bin"), format!("{n}.bin.sig"));
        bench.write(&name, image);
        let sign = ["pkeyutl", "-sign", "-rawin", "-inkey", "acme.pem", "-in", &name, "-out", &sig];
        assert_eq!(run(bench.dir.path(), "openssl", &sign).code, 0);
        bench.headgate(&["stage", &name, "--plc", "pump-3"]);
        let digest = gateway::vault::hex(&digest(image));
        bench.headgate(&["release", &digest, "--plc", "pump-3", "--uses", "100000"]);
    }
    bench.start();
    (bench, plc, images)
}

/// A station at 127.0.0.`host` that survives lost connections.
struct Station {
    to: SocketAddr,
    host: u8,
    socket: Option<TcpStream>,
}

impl Station {
    fn new(plc: &Plc, host: u8) -> Station {
        Station { to: plc.conduit, host, socket: None }
    }

    /// Asks; `None` when nobody answers. The connection is made anew when it has to be.
    fn ask(&mut self, pdu: &[u8]) -> Option<Vec<u8>> {
        if self.socket.is_none() {
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).ok()?;
            let from = SocketAddr::from((Ipv4Addr::new(127, 0, 0, self.host), 0));
            socket.bind(&from.into()).ok()?;
            socket.connect_timeout(&self.to.into(), Duration::from_millis(500)).ok()?;
            let socket = TcpStream::from(socket);
            socket.set_read_timeout(Some(Duration::from_secs(3))).ok()?;
            socket.set_nodelay(true).ok()?;
            self.socket = Some(socket);
        }
        let reply = exchange(self.socket.as_mut()?, 1, pdu).ok();
        if reply.is_none() {
            self.socket = None;
        }
        reply
    }

    fn disconnect(&mut self) {
        self.socket = None;
    }
}

fn control(values: &[u16]) -> Vec<u8> {
    let mut pdu = vec![16, 0xF0, 0, 0, values.len() as u8, 2 * values.len() as u8];
    values.iter().for_each(|v| pdu.extend_from_slice(&v.to_be_bytes()));
    pdu
}

fn block(image: &[u8], at: usize) -> Vec<u8> {
    let data = &image[at..(at + BLOCK).min(image.len())];
    let mut pdu = vec![21, 7 + data.len() as u8, 6, 0, 1];
    pdu.extend_from_slice(&((at / 2) as u16).to_be_bytes());
    pdu.extend_from_slice(&((data.len() / 2) as u16).to_be_bytes());
    pdu.extend_from_slice(data);
    pdu
}

/// One history against a controller with two banks. Gives whether a commit was accepted.
fn play(seed: u64, bench: &mut Bench, plc: &Plc, images: &[Vec<u8>]) -> bool {
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let image = images[dice.below(images.len())].clone();
    let (mut one, mut two) = (Station::new(plc, 1), Station::new(plc, 2));
    let whole = |what: &str| {
        let flash = plc.flash();
        assert!(
            images.contains(&flash),
            "seed {seed}: after {what} the flash holds {} strange bytes",
            flash.len()
        );
    };
    one.ask(&control(&[1, 0, LEN as u16]));
    let mut order: Vec<usize> = (0..LEN).step_by(BLOCK).collect();
    for _ in 0..dice.below(4) {
        let (a, b) = (dice.below(order.len()), dice.below(order.len()));
        order.swap(a, b);
    }
    for at in order {
        if dice.chance(2) {
            continue; // a gap
        }
        let mut pdu = block(&image, at);
        if dice.chance(1) {
            let place = 9 + dice.below(pdu.len() - 9);
            pdu[place] ^= 1 << dice.below(8);
        }
        one.ask(&pdu);
        if dice.chance(10) {
            one.ask(&pdu); // a retransmit
        }
        match dice.below(120) {
            0 => one.disconnect(),
            1 => drop(two.ask(&block(&images[dice.below(images.len())], at))),
            2 => drop(two.ask(&control(&[1, 0, LEN as u16]))),
            3 => drop(one.ask(&control(&[2]))),
            4 => drop(two.ask(&control(&[2]))),
            5 if dice.chance(30) => {
                if bench.disk.is_some() {
                    bench.cut_power();
                } else {
                    bench.kill();
                }
                whole("the gateway's end");
                bench.start();
            }
            6 => drop(one.ask(&control(&[3]))),
            _ => {}
        }
        if dice.chance(10) {
            whole("a block");
        }
    }
    let committed = one.ask(&control(&[2])).is_some_and(|r| r[0] == 16 || r[0] == 6);
    if committed {
        eventually(&format!("seed {seed}: what was committed is there"), || {
            (plc.flash() == image).then_some(())
        });
    }
    whole("the commit");
    one.ask(&control(&[3]));
    eventually(&format!("seed {seed}: process reads pass"), || {
        Station::new(plc, 1).ask(&[3, 0, 0, 0, 1]).filter(|r| r[0] == 3)
    });
    committed
}

/// Plays the histories of these seeds; gives how many ended in a commit.
fn play_all(seeds: std::ops::RangeInclusive<u64>, bench: Bench) -> usize {
    let (mut bench, plc, images) = prepare(bench, "generic-file-record", "match");
    seeds.filter(|seed| play(*seed, &mut bench, &plc, &images)).count()
}

#[test]
fn two_banks_only_ever_hold_whole_released_images() {
    let committed = play_all(1..=160, Bench::new());
    println!("160 histories over TCP, {committed} committed");
    assert!((20..160).contains(&committed), "{committed} of 160 committed");
}

#[test]
fn two_banks_only_ever_hold_whole_released_images_however_often_the_power_fails() {
    let Some(bench) = Bench::on_disk(DISK) else { return };
    let committed = play_all(1001..=1040, bench);
    println!("40 histories over TCP with power cuts, {committed} committed");
    assert!((5..40).contains(&committed), "{committed} of 40 committed");
}

/// Deliveries to a controller with one bank, most of them with the gateway ended in the middle by `end`.
fn deliver_all(seeds: std::ops::RangeInclusive<u64>, bench: Bench, end: fn(&mut Bench)) -> usize {
    let (mut bench, plc, images) = prepare(bench, "ocp-rackmon-panasonic", "stage");
    let mut ended = 0;
    for seed in seeds {
        let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let image = &images[dice.below(images.len())];
        let digest = gateway::vault::hex(&digest(image));
        let asked = bench.try_headgate(&["deliver", &digest, "--plc", "pump-3"]);
        assert!(asked.status.success(), "seed {seed}: {}", String::from_utf8_lossy(&asked.stderr));
        if dice.chance(60) {
            std::thread::sleep(Duration::from_millis(dice.roll() % 60));
            end(&mut bench);
            ended += 1;
            bench.start();
        }
        bench.wait_status(&format!("seed {seed}: the case ends"), |s| {
            s["open_cases"].as_array().is_some_and(|cases| cases.iter().all(|c| c["state"] == "ready"))
        });
        let flash = plc.flash();
        assert!(images.contains(&flash), "seed {seed}: the controller boots a whole image");
    }
    ended
}

#[test]
fn one_bank_gets_to_a_whole_image_however_often_the_gateway_is_killed() {
    let killed = deliver_all(1..=24, Bench::new(), Bench::kill);
    println!("24 deliveries, the gateway killed in {killed} of them");
    assert!(killed > 8);
}

#[test]
fn one_bank_gets_to_a_whole_image_however_often_the_power_fails() {
    let Some(bench) = Bench::on_disk(DISK) else { return };
    let cut = deliver_all(101..=116, bench, Bench::cut_power);
    println!("16 deliveries, the power cut in {cut} of them");
    assert!(cut > 5);
}
