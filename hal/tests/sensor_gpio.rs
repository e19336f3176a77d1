//! Lines of a real kernel's GPIO, on chips that its own gpio-sim makes. `make gpio` boots a kernel that has it.
//!
//! Behind these lines are no pins: this measures Linux, not a board.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use gpiocdev::line::Value;
use hal::sensor::Measure;
use hal::sensor::gpio::{Bias, Gpio, Setup, Which};

/// Where gpio-sim is told what to make (Documentation/admin-guide/gpio/gpio-sim.rst).
const SIMULATOR: &str = "/sys/kernel/config/gpio-sim";

/// A chip of 8 lines.
struct Chip(PathBuf);

impl Chip {
    /// With names for some lines; says that the test is skipped where the kernel simulates none.
    fn new(id: &str, names: &[(u32, &str)]) -> Option<Chip> {
        if !Path::new(SIMULATOR).exists() {
            assert!(std::env::var_os("HEADGATE_GPIO_SIM").is_none(), "{SIMULATOR} is not there");
            println!("skipped: this kernel has no gpio-sim; make gpio boots one that has");
            return None;
        }
        let chip = Chip(Path::new(SIMULATOR).join(format!("{id}-{}", std::process::id())));
        fs::create_dir_all(chip.0.join("bank")).unwrap();
        chip.write("bank/num_lines", "8");
        for (line, name) in names {
            fs::create_dir(chip.0.join(format!("bank/line{line}"))).unwrap();
            chip.write(&format!("bank/line{line}/name"), name);
        }
        chip.write("live", "1");
        Some(chip)
    }

    fn write(&self, path: &str, text: &str) {
        fs::write(self.0.join(path), text).unwrap_or_else(|e| panic!("{path}: {e}"));
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.0.join(path)).unwrap().trim().to_string()
    }

    fn device(&self) -> PathBuf {
        Path::new("/dev").join(self.read("bank/chip_name"))
    }

    fn line(&self, line: u32, file: &str) -> PathBuf {
        let (device, chip) = (self.read("dev_name"), self.read("bank/chip_name"));
        PathBuf::from(format!("/sys/devices/platform/{device}/{chip}/sim_gpio{line}/{file}"))
    }

    /// Drives a line from outside.
    fn drive(&self, line: u32, high: bool) {
        fs::write(self.line(line, "pull"), if high { "pull-up" } else { "pull-down" }).unwrap();
    }

    fn pull(&self, line: u32) -> String {
        fs::read_to_string(self.line(line, "pull")).unwrap().trim().to_string()
    }

    fn setup(&self, line: Which) -> Setup {
        Setup { chip: self.device(), line, active_low: false, bias: Bias::AsIs }
    }

    fn refused(&self, line: Which) -> String {
        Gpio::open(&self.setup(line)).unwrap_err().to_string()
    }
}

impl Drop for Chip {
    /// Folders of configfs go one by one, from the inside.
    fn drop(&mut self) {
        let _ = fs::write(self.0.join("live"), "0");
        for line in 0..8 {
            let _ = fs::remove_dir(self.0.join(format!("bank/line{line}")));
        }
        let _ = fs::remove_dir(self.0.join("bank"));
        let _ = fs::remove_dir(&self.0);
    }
}

fn name(name: &str) -> Which {
    Which::Name(name.into())
}

fn read(line: &mut Gpio) -> f64 {
    let (value, quality) = line.measure().unwrap();
    assert!(quality.is_good());
    value
}

#[test]
fn a_line_is_read_by_its_number_or_its_name_and_follows_what_drives_it() {
    let Some(chip) = Chip::new("follow", &[(3, "KEY"), (4, "3")]) else { return };
    let by_udev = tempfile::tempdir().unwrap();
    let named = by_udev.path().join("board-inputs");
    symlink(chip.device(), &named).unwrap();
    for (setup, number) in [
        (chip.setup(Which::Number(3)), 3),
        (chip.setup(name("KEY")), 3),
        (chip.setup(name("3")), 4),
        (Setup { chip: named, ..chip.setup(Which::Number(7)) }, 7),
    ] {
        let mut line = Gpio::open(&setup).unwrap();
        for high in [false, true, true, false, true] {
            chip.drive(number, high);
            assert_eq!(read(&mut line), f64::from(u8::from(high)), "{setup:?}");
            chip.drive(number - 1, !high);
            assert_eq!(read(&mut line), f64::from(u8::from(high)), "another line: {setup:?}");
        }
    }
}

#[test]
fn low_is_active_where_the_setup_says_so() {
    let Some(chip) = Chip::new("low", &[]) else { return };
    let mut line = Gpio::open(&Setup { active_low: true, ..chip.setup(Which::Number(0)) }).unwrap();
    for (high, value) in [(false, 1.0), (true, 0.0), (false, 1.0)] {
        chip.drive(0, high);
        assert_eq!(read(&mut line), value);
    }
}

#[test]
fn the_chip_pulls_an_open_input_as_the_setup_says_and_not_otherwise() {
    let Some(chip) = Chip::new("bias", &[]) else { return };
    let open = |bias| read(&mut Gpio::open(&Setup { bias, ..chip.setup(Which::Number(5)) }).unwrap());
    let mut pulls = Vec::new();
    for bias in [Bias::PullUp, Bias::AsIs, Bias::PullDown, Bias::AsIs, Bias::PullUp] {
        pulls.push((open(bias), chip.pull(5)));
    }
    let (up, down) = ((1.0, "pull-up".to_string()), (0.0, "pull-down".to_string()));
    assert_eq!(pulls, [up.clone(), up.clone(), down.clone(), down, up]);
}

#[test]
fn a_name_of_two_lines_or_of_none_and_a_number_beyond_the_chip_are_refused() {
    let Some(chip) = Chip::new("names", &[(1, "DOOR"), (2, "DOOR"), (3, "KEY")]) else { return };
    let device = chip.device().display().to_string();
    for (line, found) in [
        (name("DOOR"), "found 2 lines of this name, expected one"),
        (name("key"), "found 0 lines of this name, expected one"),
        (Which::Number(8), "found 8 lines, expected a line of that number, from 0"),
    ] {
        let text = chip.refused(line.clone());
        assert!(text.contains(&format!("{device} line {line}: ")) && text.contains(found), "{text}");
    }
    assert!(Gpio::open(&chip.setup(name("KEY"))).is_ok(), "and the other name is good");
}

#[test]
fn a_line_in_use_is_refused_with_who_has_it_until_it_is_free() {
    let Some(chip) = Chip::new("used", &[(0, "KEY")]) else { return };
    let held = Gpio::open(&chip.setup(name("KEY"))).unwrap();
    for line in [name("KEY"), Which::Number(0)] {
        let text = chip.refused(line);
        assert!(text.contains("in use by \"headgate\""), "{text}");
    }
    drop(held);
    Gpio::open(&chip.setup(name("KEY"))).unwrap();
}

#[test]
fn an_output_is_refused_and_goes_on_driving() {
    let Some(chip) = Chip::new("output", &[]) else { return };
    let mut heater = gpiocdev::Request::builder();
    heater.on_chip(chip.device()).with_consumer("heater").with_line(2).as_output(Value::Active);
    let heater = heater.request().unwrap();
    let text = chip.refused(Which::Number(2));
    assert!(text.contains("in use by \"heater\""), "{text}");
    assert_eq!(fs::read_to_string(chip.line(2, "value")).unwrap().trim(), "1");
    // Nobody holds it any more, but an output it is still.
    drop(heater);
    let text = chip.refused(Which::Number(2));
    assert!(text.contains("found an output, expected an input"), "{text}");
}

#[test]
fn a_chip_that_goes_while_it_is_read_is_an_error_and_is_opened_again_when_it_is_back() {
    let Some(chip) = Chip::new("gone", &[(6, "KEY")]) else { return };
    let setup = chip.setup(name("KEY"));
    let mut line = Gpio::open(&setup).unwrap();
    chip.drive(6, true);
    assert_eq!(read(&mut line), 1.0);
    chip.write("live", "0");
    let device = setup.chip.display().to_string();
    for _ in 0..2 {
        let text = line.measure().unwrap_err().to_string();
        assert!(text.contains(&device) && text.contains("line \"KEY\""), "{text}");
    }
    drop(line);
    let text = Gpio::open(&setup).unwrap_err().to_string();
    assert!(text.contains(&device) && text.contains("No such file"), "{text}");
    chip.write("live", "1");
    let mut line = Gpio::open(&chip.setup(name("KEY"))).unwrap();
    assert_eq!(read(&mut line), 0.0, "a chip that is new again");
    chip.drive(6, true);
    assert_eq!(read(&mut line), 1.0);
}
