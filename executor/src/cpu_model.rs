//! The name of this machine's CPU, as Linux tells it.

/// The name of the CPU; empty if `/proc/cpuinfo` has none.
pub fn cpu_model() -> String {
    of(&std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default())
}

/// The name in the text of `/proc/cpuinfo`: `model name` where the CPU tells its name, else what an ARM board calls itself
/// (`Hardware`), else the numbers of implementer and part of an ARM core.
fn of(cpuinfo: &str) -> String {
    let value = |name: &str| {
        let line =
            cpuinfo.lines().filter_map(|line| line.split_once(':')).find(|(key, _)| key.trim() == name);
        let words: Vec<_> = line?.1.split_whitespace().collect();
        Some(words.join(" ")).filter(|value| !value.is_empty())
    };
    let numbers = || {
        let (implementer, part) = (value("CPU implementer")?, value("CPU part")?);
        Some(format!("ARM implementer {implementer}, part {part}"))
    };
    value("model name").or_else(|| value("Hardware")).or_else(numbers).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_found_on_each_kind_of_machine() {
        let x86 = "processor\t: 0\nmodel\t\t: 17\nmodel name\t: AMD EPYC 9B14  96-Core\n\nprocessor\t: 1\n";
        assert_eq!(of(x86), "AMD EPYC 9B14 96-Core");
        let board = "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd08\n\nHardware\t: BCM2711\n";
        assert_eq!(of(board), "BCM2711");
        let server = "processor\t: 0\nCPU implementer\t: 0x41\nCPU variant\t: 0x3\nCPU part\t: 0xd0c\n";
        assert_eq!(of(server), "ARM implementer 0x41, part 0xd0c");
        for nameless in ["", "processor\t: 0\nmodel name\t:\n", "CPU part\t: 0xd0c\n", "no colon"] {
            assert_eq!(of(nameless), "", "{nameless:?}");
        }
    }
}
