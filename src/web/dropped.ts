/**
 * Files that a page is given: dropped on it, or chosen as a folder.
 */

/** Folders within folders further down are not looked into. */
const DEEPEST = 4
/** More files than any model has. */
const MOST = 2000

/** The files of what was dropped, by their names in the folder. Must be called while the event is handled. */
export async function droppedFiles(transfer: DataTransfer): Promise<Map<string, File>> {
  const files = new Map<string, File>()
  const entries: FileSystemEntry[] = []
  for (const item of transfer.items) {
    const entry = item.webkitGetAsEntry()
    // A file that is no file of a disk has no entry.
    const file = entry ? null : item.getAsFile()
    if (entry) entries.push(entry)
    else if (file) files.set(file.name, file)
  }
  for (const entry of entries) {
    // A folder stands for what is in it.
    const inside = entry.isDirectory ? await entriesOf(entry as FileSystemDirectoryEntry) : [entry]
    for (const one of inside) await collect(one, '', files, 1)
  }
  return files
}

/** The files of a folder that was chosen, by their names in it. */
export function chosenFiles(list: Iterable<File>): Map<string, File> {
  const named = [...list].map((file): [string, File] => [
    file.webkitRelativePath.split('/').slice(1).join('/') || file.name,
    file,
  ])
  return new Map(named.slice(0, MOST))
}

async function collect(
  entry: FileSystemEntry,
  folder: string,
  files: Map<string, File>,
  depth: number,
): Promise<void> {
  if (files.size >= MOST) return
  if (entry.isFile) {
    const file = await new Promise<File>((resolve, reject) =>
      (entry as FileSystemFileEntry).file(resolve, reject),
    )
    files.set(folder + entry.name, file)
  } else if (depth < DEEPEST)
    for (const inner of await entriesOf(entry as FileSystemDirectoryEntry))
      await collect(inner, `${folder}${entry.name}/`, files, depth + 1)
}

/** What is in a folder; a browser hands it out in parts. */
async function entriesOf(folder: FileSystemDirectoryEntry): Promise<FileSystemEntry[]> {
  const reader = folder.createReader()
  const all: FileSystemEntry[] = []
  for (;;) {
    const part = await new Promise<FileSystemEntry[]>((resolve, reject) =>
      reader.readEntries(resolve, reject),
    )
    if (part.length === 0 || all.length >= MOST) return all
    all.push(...part)
  }
}
