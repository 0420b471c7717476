//! `boswell npu pack`: an xclbin from PDIs and a description.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use xdna::pdi::Pdi;
use xdna::xclbin::metadata::{self, Argument, Kernel, Qualifier};
use xdna::xclbin::partition::{Group, GroupKind, Image, Partition};
use xdna::xclbin::topology::{self, Connection, Instance, Memory};
use xdna::xclbin::{self, Kind, Section, Xclbin};

/// What is to be packed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    kernels: Vec<KernelDescription>,
    columns: u16,
    #[serde(default)]
    start_columns: Option<Vec<u16>>,
    #[serde(default = "operations_per_cycle")]
    operations_per_cycle: u32,
    #[serde(default = "memories")]
    memories: Vec<MemoryDescription>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct KernelDescription {
    name: String,
    id: u64,
    pdi: String,
    #[serde(default = "instances")]
    instances: Vec<String>,
    #[serde(default)]
    functional: u8,
    #[serde(default = "buffers")]
    buffers: u32,
    #[serde(default)]
    arguments: Option<Vec<ArgumentDescription>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ArgumentDescription {
    name: String,
    #[serde(rename = "type")]
    c_type: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MemoryDescription {
    tag: String,
    size_kb: u64,
    base: u64,
}

fn operations_per_cycle() -> u32 {
    2048
}

fn instances() -> Vec<String> {
    vec!["MLIRAIE".into()]
}

fn buffers() -> u32 {
    5
}

/// Those of mlir-aie: the host's memory, and the device's.
fn memories() -> Vec<MemoryDescription> {
    let memory = |tag: &str, size_kb| MemoryDescription { tag: tag.into(), size_kb, base: 0x400_0000 };
    vec![memory("HOST", 0x1_0000), memory("SRAM", 0xC000)]
}

/// Writes an xclbin.
///
/// # Errors
/// If the description or a PDI cannot be read or is wrong, or the xclbin cannot be written.
pub(crate) fn run(path: &Path, output: &Path) -> Result<()> {
    let text = super::read(path)?;
    let description: Description =
        serde_json::from_slice(&text).with_context(|| format!("`{}`", path.display()))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let images = description.kernels.iter().map(|kernel| {
        let pdi = super::read(&folder.join(&kernel.pdi))?;
        Pdi::parse(&pdi).with_context(|| format!("`{}`", kernel.pdi))?;
        Ok(pdi)
    });
    let images: Vec<Vec<u8>> = images.collect::<Result<_>>()?;
    let bytes = assemble(&description, &images)?;
    // What cannot be read again must not be written.
    let xclbin = Xclbin::parse(&bytes)?;
    metadata::parse(xclbin.required(Kind::EMBEDDED_METADATA)?)?;
    fs::write(output, &bytes).with_context(|| format!("cannot write `{}`", output.display()))?;
    tracing::info!("wrote `{}`, {}", output.display(), xclbin.uuid());
    Ok(())
}

fn assemble(description: &Description, images: &[Vec<u8>]) -> Result<Vec<u8>> {
    let kernels = description.kernels.iter().map(kernel).collect::<Result<Vec<_>>>()?;
    let memories: Vec<Memory> = description
        .memories
        .iter()
        .map(|memory| {
            if memory.tag.len() > 15 {
                bail!("the memory tag `{}` is longer than 15 bytes", memory.tag);
            }
            Ok(Memory::new(&memory.tag, memory.size_kb, memory.base))
        })
        .collect::<Result<_>>()?;
    let (instances, connections) = places(&kernels, memories.len())?;
    let last_start = 5_u16.checked_sub(description.columns).context("the NPU has 5 columns")?;
    let partition = Partition {
        name: "QoS".into(),
        operations_per_cycle: description.operations_per_cycle,
        columns: description.columns,
        start_columns: description.start_columns.clone().unwrap_or_else(|| (1..=last_start).collect()),
        images: kernels
            .iter()
            .zip(images)
            .enumerate()
            .map(|(idx, (kernel, pdi))| image(kernel, pdi, idx))
            .collect(),
    };
    let metadata = metadata::to_bytes(&kernels);
    let (memories, connections) = (topology::to_bytes(&memories), topology::to_bytes(&connections));
    let (instances, partition) = (topology::to_bytes(&instances), partition.to_bytes());
    let section = |kind, bytes| Section { kind, name: "", bytes };
    Ok(xclbin::write(&[
        section(Kind::EMBEDDED_METADATA, &metadata),
        section(Kind::MEM_TOPOLOGY, &memories),
        section(Kind::CONNECTIVITY, &connections),
        section(Kind::IP_LAYOUT, &instances),
        section(Kind::ASK_GROUP_TOPOLOGY, &memories),
        section(Kind::ASK_GROUP_CONNECTIVITY, &connections),
        section(Kind::AIE_PARTITION, &partition),
    ]))
}

fn kernel(description: &KernelDescription) -> Result<Kernel> {
    let argument = |name: String, c_type: &str| ArgumentDescription { name, c_type: c_type.into() };
    let ours = || {
        let fixed = [("opcode", "uint64_t"), ("instr", "char *"), ("ninstr", "uint32_t")];
        let fixed = fixed.map(|(name, c_type)| argument(name.into(), c_type));
        let buffers = (0..description.buffers).map(|idx| argument(format!("bo{idx}"), "void *"));
        fixed.into_iter().chain(buffers).collect::<Vec<_>>()
    };
    let mut offset = 0;
    let mut arguments = Vec::new();
    let generated;
    let described = match &description.arguments {
        Some(arguments) => arguments,
        None => {
            generated = ours();
            &generated
        }
    };
    for (id, ArgumentDescription { name, c_type }) in (0..).zip(described) {
        let (qualifier, size) = match c_type.as_str() {
            pointer if pointer.ends_with('*') => (Qualifier::Global, 8),
            "uint64_t" | "int64_t" => (Qualifier::Scalar, 8),
            "uint32_t" | "int32_t" => (Qualifier::Scalar, 4),
            other => {
                bail!("argument `{name}` has type `{other}`, expected a pointer, or (u)int32_t or (u)int64_t")
            }
        };
        arguments.push(Argument { name: name.clone(), id, qualifier, offset, size, c_type: c_type.clone() });
        offset += size;
    }
    Ok(Kernel {
        name: description.name.clone(),
        kernel_id: description.id,
        functional: description.functional,
        arguments,
        instances: description.instances.clone(),
    })
}

/// The kernels' instances, and where their arguments lie: instructions in the device's memory, the last one; buffers
/// in the host's, the first.
fn places(kernels: &[Kernel], n_memories: usize) -> Result<(Vec<Instance>, Vec<Connection>)> {
    let (mut instances, mut connections) = (Vec::new(), Vec::new());
    for kernel in kernels {
        let id = u32::try_from(kernel.kernel_id).ok().filter(|id| *id < 0x1000);
        let id = id.with_context(|| {
            format!("kernel `{}` has id {:#x}, at most 0xfff", kernel.name, kernel.kernel_id)
        })?;
        for instance in &kernel.instances {
            let name = format!("{}:{instance}", kernel.name);
            if name.len() > 63 {
                bail!("the instance `{name}` is longer than 63 bytes");
            }
            let mut globals =
                kernel.arguments.iter().filter(|argument| argument.qualifier == Qualifier::Global);
            let mut connect = |argument: &Argument, memory: usize| {
                let (argument, instance) = (argument.id as i32, instances.len() as i32);
                connections.push(Connection { argument, instance, memory: memory as i32 });
            };
            if let Some(instructions) = globals.next() {
                connect(instructions, n_memories.saturating_sub(1));
            }
            globals.for_each(|argument| connect(argument, 0));
            instances.push(Instance::dpu(&name, kernel.functional.into(), id));
        }
    }
    Ok((instances, connections))
}

fn image<'a>(kernel: &Kernel, pdi: &'a [u8], idx: usize) -> Image<'a> {
    let pdi_id = idx as u64 + 1;
    let group = Group {
        name: "DPU".into(),
        kind: GroupKind::Primary,
        pdi_id,
        kernel_ids: vec![kernel.kernel_id],
        pre_groups: vec![],
    };
    Image { uuid: uuid::Uuid::from_u128(pdi_id.into()), pdi, groups: vec![group] }
}
