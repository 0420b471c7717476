//! `boswell npu inspect`: what is in a file, as JSON or as text. The text is made from the JSON.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use xdna::cdo::{Cdo, Command};
use xdna::pdi::{self, Pdi};
use xdna::stream::{Form, Operation, Stream};
use xdna::xclbin::partition::Partition;
use xdna::xclbin::topology::{self, Connection, Instance, Memory};
use xdna::xclbin::{Kind, Xclbin, metadata};

use crate::screen::Screen;

/// Prints what is in a file.
///
/// # Errors
/// If it cannot be read, is of no known kind, or is broken.
pub(crate) fn run(path: &Path, is_json: bool, screen: &Screen) -> Result<()> {
    let bytes = super::read(path)?;
    let value = describe(&bytes).with_context(|| format!("`{}`", path.display()))?;
    let text = if is_json { format!("{value:#}\n") } else { text(&value) };
    screen.result(text.as_bytes())
}

fn describe(bytes: &[u8]) -> Result<Value> {
    let is_cdo = |bytes: &[u8]| bytes.get(4..8) == Some(b"CDO\0");
    Ok(match bytes {
        _ if bytes.starts_with(b"xclbin2\0") => xclbin(&Xclbin::parse(bytes)?)?,
        _ if bytes.get(pdi::CDO_OFFSET..).is_some_and(is_cdo) => image(bytes)?,
        _ if is_cdo(bytes) => json!({ "kind": "CDO", "commands": commands(Cdo::parse(bytes)?) }),
        _ if bytes.starts_with(b"\x7FELF") => {
            bail!("an ELF file: this command shows xclbins, PDIs, CDOs and streams")
        }
        _ => stream(
            &Stream::parse(bytes).context("neither xclbin nor PDI nor CDO, and no instruction stream")?,
        ),
    })
}

fn xclbin(file: &Xclbin<'_>) -> Result<Value> {
    let (major, minor, patch) = file.version();
    let sections = file.sections().iter().map(|section| {
        let kind = section.kind;
        Ok(json!({
            "kind": kind.to_string(),
            "name": section.name,
            "bytes": section.bytes.len(),
            "content": content(kind, section.bytes).with_context(|| format!("its section {kind}"))?,
        }))
    });
    Ok(json!({
        "kind": "xclbin",
        "uuid": file.uuid().to_string(),
        "sha256": file.sha256().iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
        "version": format!("{major}.{minor}.{patch}"),
        "timestamp": file.timestamp(),
        "platform": file.platform(),
        "sections": sections.collect::<Result<Vec<_>>>()?,
    }))
}

fn content(kind: Kind, bytes: &[u8]) -> Result<Value> {
    Ok(match kind {
        Kind::EMBEDDED_METADATA => metadata::parse(bytes)?.iter().map(kernel).collect(),
        Kind::AIE_PARTITION => partition(&Partition::parse(bytes)?)?,
        Kind::PDI => image(bytes)?,
        Kind::MEM_TOPOLOGY | Kind::ASK_GROUP_TOPOLOGY => topology::parse::<Memory>(bytes)?
            .iter()
            .map(|memory| {
                let base = format!("{:#x}", memory.base);
                json!({ "tag": memory.tag(), "size_kb": memory.size_kb, "base": base, "used": memory.used != 0 })
            })
            .collect(),
        Kind::CONNECTIVITY | Kind::ASK_GROUP_CONNECTIVITY => topology::parse::<Connection>(bytes)?
            .iter()
            .map(|Connection { argument, instance, memory }| {
                json!({ "argument": argument, "instance": instance, "memory": memory })
            })
            .collect(),
        Kind::IP_LAYOUT => topology::parse::<Instance>(bytes)?
            .iter()
            .map(|instance| {
                let properties = format!("{:#010x}", instance.properties);
                json!({ "name": instance.name(), "kind": instance.kind, "properties": properties })
            })
            .collect(),
        _ => serde_json::from_slice(bytes).unwrap_or(Value::Null),
    })
}

fn kernel(kernel: &metadata::Kernel) -> Value {
    let arguments = kernel.arguments.iter().map(|argument| {
        let kind = match argument.qualifier {
            metadata::Qualifier::Scalar => "value",
            metadata::Qualifier::Global => "buffer",
            metadata::Qualifier::Other(_) => "other",
        };
        json!({ "id": argument.id, "name": argument.name, "kind": kind, "offset": argument.offset, "size": argument.size })
    });
    json!({
        "kernel": kernel.name,
        "kernel_id": format!("{:#x}", kernel.kernel_id),
        "functional": kernel.functional,
        "instances": kernel.instances,
        "arguments": arguments.collect::<Vec<_>>(),
    })
}

fn partition(partition: &Partition<'_>) -> Result<Value> {
    let images = partition.images.iter().map(|entry| {
        let groups = entry.groups.iter().map(|group| {
            json!({
                "name": group.name,
                "kind": format!("{:?}", group.kind),
                "pdi_id": group.pdi_id,
                "kernel_ids": group.kernel_ids.iter().map(|id| format!("{id:#x}")).collect::<Vec<_>>(),
            })
        });
        Ok(json!({
            "uuid": entry.uuid.to_string(),
            "bytes": entry.pdi.len(),
            "groups": groups.collect::<Vec<_>>(),
            "image": image(entry.pdi)?,
        }))
    });
    Ok(json!({
        "name": partition.name,
        "columns": partition.columns,
        "start_columns": partition.start_columns,
        "operations_per_cycle": partition.operations_per_cycle,
        "images": images.collect::<Result<Vec<_>>>()?,
    }))
}

fn image(bytes: &[u8]) -> Result<Value> {
    let pdi = Pdi::parse(bytes)?;
    Ok(json!({
        "kind": "PDI",
        "id": pdi.id(),
        "idcode": format!("{:#010x}", pdi.idcode()),
        "checksums": if pdi.checksums_hold() { "right" } else { "wrong" },
        "form": if pdi.cdo().is_transformed() { "transformed" } else { "plain" },
        "commands": commands(pdi.cdo()),
    }))
}

fn hex(value: u64) -> String {
    format!("{value:#010x}")
}

fn commands(cdo: Cdo<'_>) -> Vec<Value> {
    let commands = cdo.commands().filter(|command| !matches!(command, Command::Nop { .. }));
    commands
        .map(|command| {
            let text = command.to_string();
            match command {
                Command::MaskWrite { address, mask, value } => {
                    json!({ "text": text, "op": "maskwrite", "address": hex(address), "mask": hex(mask.into()), "value": hex(value.into()) })
                }
                Command::Write { address, value } => {
                    json!({ "text": text, "op": "write", "address": hex(address), "value": hex(value.into()) })
                }
                Command::DmaWrite { address, data } => {
                    json!({ "text": text, "op": "dmawrite", "address": hex(address), "words": data.len() })
                }
                Command::MaskPoll { address, mask, expected, timeout_ms } => {
                    json!({ "text": text, "op": "maskpoll", "address": hex(address), "mask": hex(mask.into()), "value": hex(expected.into()), "timeout_ms": timeout_ms })
                }
                Command::Nop { .. } => json!({ "text": text, "op": "nop" }),
                Command::End => json!({ "text": text, "op": "end" }),
            }
        })
        .collect()
}

fn stream(stream: &Stream<'_>) -> Value {
    let header = stream.header();
    let mut value = json!({ "kind": "instruction stream", "form": header.form.to_string() });
    if header.form != Form::Early {
        value["generation"] = header.generation.into();
        value["rows"] = header.rows.into();
        value["mem_tile_rows"] = header.mem_tile_rows.into();
        value["columns"] = header.columns.into();
    }
    value["operations"] = stream.operations().map(|operation| operation_json(&operation)).collect();
    value
}

fn operation_json(operation: &Operation<'_>) -> Value {
    let text = operation.to_string();
    match *operation {
        Operation::Write { tile, address, value } => {
            json!({ "text": text, "op": "write", "column": tile.col, "row": tile.row, "address": hex(address), "value": hex(value.into()) })
        }
        Operation::BlockWrite { tile, address, data } => {
            let data: Vec<String> = data.iter().map(|word| hex(word.into())).collect();
            json!({ "text": text, "op": "blockwrite", "column": tile.col, "row": tile.row, "address": hex(address.into()), "data": data })
        }
        Operation::MaskWrite { address, value, mask } => {
            json!({ "text": text, "op": "maskwrite", "address": hex(address), "mask": hex(mask.into()), "value": hex(value.into()) })
        }
        Operation::MaskPoll { address, value, mask, is_busy } => {
            json!({ "text": text, "op": "maskpoll", "address": hex(address), "mask": hex(mask.into()), "value": hex(value.into()), "busy": is_busy })
        }
        Operation::Noop => json!({ "text": text, "op": "noop" }),
        Operation::Preempt { level } => json!({ "text": text, "op": "preempt", "level": level }),
        Operation::LoadPdi { id, size, address } => {
            json!({ "text": text, "op": "loadpdi", "id": id, "size": size, "address": hex(address) })
        }
        Operation::Sync { direction, tile, columns, rows, channel } => {
            json!({ "text": text, "op": "sync", "direction": direction.to_string(), "column": tile.col, "row": tile.row, "columns": columns, "rows": rows, "channel": channel })
        }
        Operation::DdrPatch { register, argument, offset } => {
            json!({ "text": text, "op": "patch", "register": hex(register), "argument": argument, "offset": offset })
        }
        Operation::ShimDescriptor { col, columns, argument, number, increment, length, offset, rest } => {
            let rest = rest.map(|word| hex(word.into()));
            json!({ "text": text, "op": "shimbd", "column": col, "columns": columns, "argument": argument, "number": number, "increment": increment, "length": length, "offset": offset, "rest": rest })
        }
    }
}

/// The same for a person: a line per value, indented by depth; what has a text of its own in that one line.
fn text(value: &Value) -> String {
    let mut out = String::new();
    lines(value, 0, &mut out);
    out
}

fn lines(value: &Value, depth: usize, out: &mut String) {
    let entries: Vec<(String, &Value)> = match value {
        Value::Object(map) => map.iter().map(|(key, value)| (key.replace('_', " "), value)).collect(),
        Value::Array(list) => list.iter().map(|value| ("-".into(), value)).collect(),
        _ => return,
    };
    for (key, value) in entries {
        let indent = "  ".repeat(depth);
        let line = value.get("text").and_then(Value::as_str).map(str::to_owned).or_else(|| scalar(value));
        match line {
            Some(line) if key == "-" => out.push_str(&format!("{indent}{line}\n")),
            Some(line) => out.push_str(&format!("{indent}{key:<16} {line}\n")),
            None if value.is_null() => {}
            None => {
                out.push_str(&format!("{indent}{key}\n"));
                lines(value, depth + 1, out);
            }
        }
    }
}

/// A value that fits on a line.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Array(list) if list.iter().all(|value| value.is_string() || value.is_number()) => {
            Some(list.iter().filter_map(scalar).collect::<Vec<_>>().join(", "))
        }
        _ => None,
    }
}
