/**
 * Files that a user drops on the page or chooses as a folder.
 */

/** The maximal depth of nested folders. */
const MAX_DEPTH = 4
/** The maximal number of files. */
const MAX_FILES = 2000

/** The dropped files by name. Must be called while the event is handled. */
export async function droppedFiles(transfer: DataTransfer): Promise<Map<string, File>> {
  const files = new Map<string, File>()
  const entries: FileSystemEntry[] = []
  for (const item of transfer.items) {
    const entry = item.webkitGetAsEntry()
    // A file that is not on a disk has no entry.
    const file = entry ? null : item.getAsFile()
    if (entry) entries.push(entry)
    else if (file) files.set(file.name, file)
  }
  for (const entry of entries) {
    // A folder is replaced by its files.
    const inside = entry.isDirectory ? await entriesOf(entry as FileSystemDirectoryEntry) : [entry]
    for (const one of inside) await collect(one, '', files, 1)
  }
  return files
}

/** The files of a chosen folder, by name. */
export function chosenFiles(list: Iterable<File>): Map<string, File> {
  const named = [...list].map((file): [string, File] => [
    file.webkitRelativePath.split('/').slice(1).join('/') || file.name,
    file,
  ])
  return new Map(named.slice(0, MAX_FILES))
}

/**
 * One line about files that are no model; null for files that may be one.
 * @param name what the user gave: a file or a folder
 */
export function refusalOfFiles(files: ReadonlyMap<string, Blob>, name: string): string | null {
  const isModel = [...files.keys()].some((path) => path === 'config.json' || /\.gguf$/i.test(path))
  if (isModel) return null
  return `${name} is not a model. A model is a GGUF file, or a folder with config.json.`
}

async function collect(
  entry: FileSystemEntry,
  folder: string,
  files: Map<string, File>,
  depth: number,
): Promise<void> {
  if (files.size >= MAX_FILES) return
  if (entry.isFile) {
    const file = await new Promise<File>((resolve, reject) =>
      (entry as FileSystemFileEntry).file(resolve, reject),
    )
    files.set(folder + entry.name, file)
  } else if (depth < MAX_DEPTH)
    for (const inner of await entriesOf(entry as FileSystemDirectoryEntry))
      await collect(inner, `${folder}${entry.name}/`, files, depth + 1)
}

/** The entries of a folder; a browser returns them in parts. */
async function entriesOf(folder: FileSystemDirectoryEntry): Promise<FileSystemEntry[]> {
  const reader = folder.createReader()
  const all: FileSystemEntry[] = []
  for (;;) {
    const part = await new Promise<FileSystemEntry[]>((resolve, reject) =>
      reader.readEntries(resolve, reject),
    )
    if (part.length === 0 || all.length >= MAX_FILES) return all
    all.push(...part)
  }
}
