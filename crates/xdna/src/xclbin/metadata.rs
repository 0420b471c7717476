//! The section EMBEDDED_METADATA: XML that describes the kernels and their arguments.

use std::fmt::Write as _;

use roxmltree::{Document, Node, ParsingOptions};

use crate::Error;

/// A compute-unit mask has so many bits at most.
const MAX_KERNELS: usize = 32;
/// Elements of the largest description that is read; one of mlir-aie has about 20.
const MAX_NODES: u32 = 100_000;

/// How an argument is passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Qualifier {
    /// By value.
    Scalar,
    /// A buffer's address.
    Global,
    /// Something that NPU kernels do not have.
    Other(u32),
}

/// An argument of a kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument {
    /// Its name.
    pub name: String,
    /// Its number.
    pub id: u32,
    /// By value or by address.
    pub qualifier: Qualifier,
    /// Where it lies in the payload, in bytes.
    pub offset: u32,
    /// Its bytes in the payload.
    pub size: u32,
    /// Its type in C.
    pub c_type: String,
}

/// A kernel. Kernels in order, times their instances, are the compute units of a context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// Its name: `MLIR_AIE` of mlir-aie's.
    pub name: String,
    /// Its number, by which AIE_PARTITION says which image it runs on.
    pub kernel_id: u64,
    /// The function code of its compute unit.
    pub functional: u8,
    /// Its arguments.
    pub arguments: Vec<Argument>,
    /// The names of its instances.
    pub instances: Vec<String>,
}

/// Reads the description. Kernels without numbers are left out: some tools put placeholders there that are not the
/// array's.
///
/// # Errors
/// [`Error::Xml`] or [`Error::Format`] if it is no XML, or kernels or arguments lack what they need.
pub fn parse(bytes: &[u8]) -> Result<Vec<Kernel>, Error> {
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let text = std::str::from_utf8(&bytes[..end])
        .map_err(|_| Error::format("the xclbin's kernel description", "not UTF-8", "XML"))?;
    let options = ParsingOptions { nodes_limit: MAX_NODES, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options)?;
    let mut at = Some(document.root());
    for name in ["project", "platform", "device", "core"] {
        at = at.and_then(|node| child(node, name));
    }
    let core = at.ok_or_else(|| {
        Error::format("the xclbin's kernel description", "without", "project/platform/device/core")
    })?;
    let kernels: Vec<Kernel> = children(core, "kernel")
        .filter_map(|node| Some((node, child(node, "extended-data")?)))
        .map(|(node, extended)| kernel(node, extended))
        .collect::<Result<_, _>>()?;
    let n_units: usize = kernels.iter().map(|kernel| kernel.instances.len()).sum();
    if n_units > MAX_KERNELS {
        let found = format!("{n_units} of them");
        return Err(Error::format("the xclbin's kernels", found, format!("at most {MAX_KERNELS}")));
    }
    Ok(kernels)
}

fn child<'a, 'b>(node: Node<'a, 'b>, name: &'static str) -> Option<Node<'a, 'b>> {
    children(node, name).next()
}

fn children<'a, 'b>(node: Node<'a, 'b>, name: &'static str) -> impl Iterator<Item = Node<'a, 'b>> {
    node.children().filter(move |child| child.has_tag_name(name))
}

fn kernel(node: Node<'_, '_>, extended: Node<'_, '_>) -> Result<Kernel, Error> {
    let name = text(node, "kernel", "name")?;
    let functional = number(extended, &name, "functional")?;
    Ok(Kernel {
        kernel_id: number(extended, &name, "dpu_kernel_id")?,
        functional: u8::try_from(functional).map_err(|_| {
            Error::format(format!("`functional` of the xclbin's kernel `{name}`"), functional, "0 to 255")
        })?,
        arguments: children(node, "arg").map(argument).collect::<Result<_, _>>()?,
        instances: children(node, "instance")
            .map(|instance| text(instance, &name, "name"))
            .collect::<Result<_, _>>()?,
        name,
    })
}

fn argument(node: Node<'_, '_>) -> Result<Argument, Error> {
    let name = text(node, "argument", "name")?;
    let small = |attribute: &str| -> Result<u32, Error> {
        let value = number(node, &name, attribute)?;
        u32::try_from(value)
            .map_err(|_| Error::format(format!("`{attribute}` of argument `{name}`"), value, "32 bits"))
    };
    Ok(Argument {
        id: small("id")?,
        offset: small("offset")?,
        size: small("size")?,
        qualifier: match small("addressQualifier")? {
            0 => Qualifier::Scalar,
            1 => Qualifier::Global,
            other => Qualifier::Other(other),
        },
        c_type: node.attribute("type").unwrap_or_default().to_owned(),
        name,
    })
}

fn text(node: Node<'_, '_>, owner: &str, attribute: &str) -> Result<String, Error> {
    let value = node.attribute(attribute);
    value.map(str::to_owned).ok_or_else(|| {
        let thing = format!("`{owner}` of the xclbin's kernel description");
        Error::format(thing, format!("without `{attribute}`"), "one with it")
    })
}

/// A number, decimal or hexadecimal.
fn number(node: Node<'_, '_>, owner: &str, attribute: &str) -> Result<u64, Error> {
    let found = text(node, owner, attribute)?;
    let parsed = match found.strip_prefix("0x").or_else(|| found.strip_prefix("0X")) {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => found.parse(),
    };
    parsed.map_err(|_| Error::format(format!("`{attribute}` of `{owner}`"), format!("`{found}`"), "a number"))
}

/// The description of these kernels.
pub fn to_bytes(kernels: &[Kernel]) -> Vec<u8> {
    let mut out = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<project name=\"\">\n  <platform vendor=\"\" boardid=\"\" \
         name=\"\">\n    <device name=\"fpga0\">\n      <core name=\"OCL_REGION_0\" type=\"clc_region\">\n",
    );
    for kernel in kernels {
        write_kernel(&mut out, kernel);
    }
    out.push_str("      </core>\n    </device>\n  </platform>\n</project>\n");
    out.into_bytes()
}

fn write_kernel(out: &mut String, kernel: &Kernel) {
    const FITS: &str = "a string takes everything";
    writeln!(out, "        <kernel name=\"{}\" language=\"c\" type=\"dpu\">", escaped(&kernel.name))
        .expect(FITS);
    let (functional, id) = (kernel.functional, kernel.kernel_id);
    let extended = format!("subtype=\"1\" functional=\"{functional}\" dpu_kernel_id=\"{id:#x}\"");
    writeln!(out, "          <extended-data {extended}/>").expect(FITS);
    for argument in &kernel.arguments {
        let qualifier = match argument.qualifier {
            Qualifier::Scalar => 0,
            Qualifier::Global => 1,
            Qualifier::Other(other) => other,
        };
        let Argument { id, offset, size, .. } = argument;
        let (name, c_type) = (escaped(&argument.name), escaped(&argument.c_type));
        writeln!(
            out,
            "          <arg name=\"{name}\" addressQualifier=\"{qualifier}\" id=\"{id}\" size=\"{size:#x}\" \
             offset=\"{offset:#x}\" hostOffset=\"0x0\" hostSize=\"{size:#x}\" type=\"{c_type}\"/>"
        )
        .expect(FITS);
    }
    for instance in &kernel.instances {
        writeln!(out, "          <instance name=\"{}\"/>", escaped(instance)).expect(FITS);
    }
    out.push_str("        </kernel>\n");
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\r' | '\t' => write!(out, "&#{};", character as u32).expect("a string takes everything"),
            other => out.push(other),
        }
    }
    out
}
