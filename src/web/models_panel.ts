/**
 * Opens models and traces from a folder, from dropped files, or from the hub.
 */
import { storages, type StorageChoice } from '../engine/storages/index.ts'
import type { OpenProgress } from '../library/options.ts'
import { isIsolated, isOffline, offerFile, pageDocument } from '../platform/platform.ts'
import { InputError } from '../tensor/errors.ts'
import type { App } from './app.ts'
import { chosenFiles, droppedFiles, refusalOfFiles } from './dropped.ts'
import { embeddedModelFiles, embeddedNames, type EmbeddedWeights } from './embedded/embedded_model.ts'
import type { BackendChoice, HubModelInfo } from './engine/model_info.ts'
import type { ModelSource } from './engine/remote_model.ts'
import { lineOf, type Session } from './session.ts'
import { beginsAsTrace, encodeTrace, parseTrace } from './trace/trace_file.ts'
import { byId, fillSelect, percent } from './view/dom.ts'

/** The maximal size of a trace file. */
const MAX_TRACE_BYTES = 2 ** 29

type Open = (source: ModelSource, name: string) => Promise<void>

/** Wires the panel, and opens the embedded model. */
export function startPanel(session: Session, app: App): void {
  const storage = byId<HTMLSelectElement>('storage')
  fillSelect(storage, [['file', 'in the file'], ...storages])
  const open: Open = async (source, name) => {
    const refusal = typeof source === 'string' ? null : refusalOfFiles(source, name)
    if (refusal !== null) return app.tell(refusal)
    await openModel(session, app, source, name, storage.value as StorageChoice)
  }

  byId('embedded').addEventListener('click', () => void openEmbedded(session, app, 'rounded'))
  byId('whole').addEventListener('click', () => void openEmbedded(session, app, 'whole'))
  const folder = byId<HTMLInputElement>('folder')
  folder.addEventListener('change', () => {
    const files = [...(folder.files ?? [])]
    const name = files[0]?.webkitRelativePath.split('/')[0] || 'a folder'
    folder.value = ''
    if (files.length > 0) void open(chosenFiles(files), name)
  })
  const gguf = byId<HTMLInputElement>('gguf')
  gguf.addEventListener('change', () => {
    const [file] = gguf.files ?? []
    gguf.value = ''
    if (file) void open(new Map([[file.name, file]]), file.name)
  })
  wireHub(session, app, storage, open)
  wireDrops((files, name) => void take(files, name, open, app))
  wireTraces(app)
  byId('threads-line').textContent = threadsLine
  session.start() // its code comes beside the weights
  void openEmbedded(session, app, 'rounded')
}

/** What opens a model, or fetches its files. */
type Fetch = (signal: AbortSignal) => Promise<ModelSource>

/** Opens the embedded model; what has come of it is shown. */
function openEmbedded(session: Session, app: App, weights: EmbeddedWeights): Promise<void> {
  const name = embeddedNames[weights]
  const fetched: Fetch = (signal) =>
    embeddedModelFiles(weights, (loaded, total) => showLoading(name, loaded, total), signal)
  return openModel(session, app, fetched, name, 'f32')
}

function showLoading(name: string, loaded: number, total: number): void {
  const size = (bytes: number): string => (bytes / 1e6).toFixed(1)
  const isKnown = total > 0 && loaded <= total
  byId<HTMLProgressElement>('loading').value = isKnown ? loaded / total : 0
  byId('model-line').textContent =
    `Downloading ${name}: ${size(loaded)} ${isKnown ? `of ${size(total)} ` : ''}MB. The text below came with the page.`
}

async function openModel(
  session: Session,
  app: App,
  source: ModelSource | Fetch,
  name: string,
  storage: StorageChoice,
): Promise<void> {
  const bar = byId<HTMLProgressElement>('loading')
  const line = byId('model-line')
  const onProgress = ({ stage, loadedBytes, totalBytes }: OpenProgress): void => {
    bar.value = totalBytes > 0 ? loadedBytes / totalBytes : 0
    const size = (bytes: number): string => (bytes / 1e6).toFixed(1)
    line.textContent =
      stage === 'load'
        ? `Unpacking ${name}: ${percent(bar.value)}`
        : `Downloading ${name}: ${size(loadedBytes)} of ${size(totalBytes)} MB`
  }
  app.tell('')
  bar.classList.remove('idle')
  try {
    await session.open(source, name, storage, onProgress)
    line.textContent = modelLine(session)
    await app.begin()
    const choice = await session.choose()
    if (choice) showChoice(choice)
  } catch (error) {
    if ((error as Error).name === 'AbortError') return
    const stays = session.opt ? `, and ${session.opt.info.name} stays open` : ''
    app.tell(`${name} cannot be opened${stays}: ${lineOf(error).replace(`${name}: `, '')}`)
    line.textContent = session.opt ? modelLine(session) : 'No model is open.'
  } finally {
    bar.classList.add('idle')
  }
}

/** Says where the model was measured to run faster. */
function showChoice({ speeds, reason, words }: BackendChoice): void {
  const rate = (speed: number): string => `${Math.round(speed).toLocaleString('en')} tokens/s`
  const line = byId('threads-line')
  if (words) line.title = words
  const told = speeds
    ? ` WebGPU: ${rate(speeds.webgpu)}, WebAssembly: ${rate(speeds.wasm)}; uses ${speeds.webgpu > speeds.wasm ? 'WebGPU' : 'WebAssembly'}.`
    : reason === 'inexact'
      ? ' WebGPU gives other numbers here, so it is not used.'
      : reason === 'failed'
        ? ' WebGPU failed.'
        : ''
  line.textContent = `${threadsLine}${told}`
}

function modelLine({ opt }: Session): string {
  if (!opt) return ''
  const { name, config, storage } = opt.info
  const { layers, heads, neurons } = config
  const shape = `${layers} layers of ${heads} heads and ${neurons.toLocaleString('en')} neurons`
  const isEmbedded = Object.values(embeddedNames).includes(name)
  const weights = name === embeddedNames.rounded ? 'rounded to four bits' : `${storage} weights`
  return `${isEmbedded ? 'The embedded model, tiny-opt' : name}: ${shape}, ${weights}`
}

const threadsLine = isIsolated()
  ? 'The server isolates this page (COOP, COEP), so calls run on several threads where that is measured to be faster.'
  : 'The server does not isolate this page (COOP, COEP), so it computes on one thread. The results are the same.'

/** A trace, or the files of a model. */
async function take(files: ReadonlyMap<string, File>, name: string, open: Open, app: App): Promise<void> {
  const [only] = files.values()
  if (files.size === 1 && only.name.endsWith('.trace.safetensors')) return openTrace(only, app)
  if (files.size > 0) await open(files, name)
}

/** Shows the size of a model of the hub before it can be downloaded. */
function wireHub(session: Session, app: App, storage: HTMLSelectElement, open: Open): void {
  const answer = byId('hub-answer')
  const button = byId<HTMLButtonElement>('hub-open')
  let found: HubModelInfo | null = null
  const show = (): void => {
    button.disabled = found === null
    if (found) answer.textContent = hubWords(found, storage.value as StorageChoice)
  }
  const ask = async (id: string): Promise<void> => {
    found = null
    show()
    app.tell('')
    if (isOffline()) return void (answer.textContent = 'This browser is offline, so the hub cannot be asked.')
    answer.textContent = 'Asking the hub …'
    try {
      found = await session.lookUp(id)
      show()
    } catch (error) {
      answer.textContent = lineOf(error)
    }
  }
  storage.addEventListener('change', show)
  byId('hub').addEventListener('submit', (event) => {
    event.preventDefault()
    void ask(byId<HTMLInputElement>('hub-id').value.trim())
  })
  button.addEventListener('click', () => {
    if (!found) return
    const { repository } = found.origin
    void open(repository, repository)
  })
}

/** The memory that a browser gives a page, approximately. */
const MAX_MEMORY = 4 * 2 ** 30

function hubWords({ origin, bytes, parameters, memory }: HubModelInfo, choice: StorageChoice): string {
  const held = choice === 'file' ? bytes : memory[choice]
  const millions = (count: number): string => Math.round(count / 1e6).toLocaleString('en')
  const warning = held + bytes > MAX_MEMORY ? ' That may be more than a browser gives a page.' : ''
  return (
    `${origin.repository} at ${origin.commit.slice(0, 8)}: ${millions(parameters)} million parameters. ` +
    `To download: ${millions(bytes)} MB. In memory: ${millions(held)} MB as ${choice === 'file' ? 'in the file' : choice}, ` +
    `and the download beside it.${warning}`
  )
}

function wireDrops(onFiles: (files: ReadonlyMap<string, File>, name: string) => void): void {
  const { body } = pageDocument()
  const veil = byId('drop')
  const hasFiles = ({ dataTransfer }: DragEvent): boolean => dataTransfer?.types.includes('Files') ?? false
  body.addEventListener('dragover', (event) => {
    if (!hasFiles(event)) return
    event.preventDefault()
    veil.hidden = false
  })
  veil.addEventListener('dragleave', () => (veil.hidden = true))
  body.addEventListener('drop', (event) => {
    if (!event.dataTransfer || !hasFiles(event)) return
    event.preventDefault()
    veil.hidden = true
    const [first] = event.dataTransfer.items
    const name = (first?.webkitGetAsEntry() ?? first?.getAsFile())?.name ?? 'a folder'
    void droppedFiles(event.dataTransfer).then((files) => onFiles(files, name))
  })
}

function wireTraces(app: App): void {
  byId('save').addEventListener('click', () => {
    if (!app.trace) return
    offerFile('shadowllm.trace.safetensors', encodeTrace(app.trace))
    byId('trace-answer').textContent = 'Saved as shadowllm.trace.safetensors.'
  })
  const input = byId<HTMLInputElement>('trace')
  input.addEventListener('change', () => {
    const [file] = input.files ?? []
    if (file) void openTrace(file, app).finally(() => (input.value = ''))
  })
}

async function openTrace(file: File, app: App): Promise<void> {
  const answer = byId('trace-answer')
  app.tell('')
  try {
    if (file.size > MAX_TRACE_BYTES)
      throw new InputError(
        'FILE_LIMIT',
        `${file.name}: expected at most ${MAX_TRACE_BYTES} bytes, got ${file.size}`,
      )
    const trace = await parseTrace(new Uint8Array(await file.arrayBuffer()), file.name)
    app.open(trace)
    answer.textContent = `${trace.columns.length} tokens of ${trace.model.name}, as saved.`
  } catch (error) {
    answer.textContent = (await beginsAsTrace(file))
      ? `${file.name} cannot be opened: ${lineOf(error).replace(`${file.name}: `, '')}`
      : `${file.name} is not a trace that this page saved.`
  }
}
