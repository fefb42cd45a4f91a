/**
 * A program that imports modules one by one, and prints which of them did something by that: JSON, a list of the paths.
 *
 *   node spec/package/find_effects.ts FOLDER PATH...
 *
 * What counts: a global, a method of a built-in, a listener of the process or of the thread, a handle that is open, an exit
 * code. It happens in a thread, since a module may behave otherwise there.
 */
import { setImmediate } from 'node:timers/promises'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'

const builtIns = [Object, Array, Map, Set, Promise, String, Number, Function, Uint8Array, Float32Array]

/** All that is looked at, as text. */
function state(): string {
  const globals = Reflect.ownKeys(globalThis).map(String)
  const methods = builtIns.map(({ prototype }) => Reflect.ownKeys(prototype).map(String))
  const listeners = process.eventNames().map((name) => [String(name), process.listenerCount(name)])
  const own = parentPort?.listenerCount('message')
  return JSON.stringify([
    globals,
    methods,
    listeners,
    own,
    process.getActiveResourcesInfo(),
    process.exitCode,
  ])
}

async function findEffects({ folder, paths }: { folder: string; paths: string[] }): Promise<string[]> {
  const found: string[] = []
  for (const path of paths) {
    await setImmediate()
    const before = state()
    await import(pathToFileURL(`${folder}/${path}`).href)
    if (state() !== before) found.push(path)
  }
  return found
}

if (isMainThread) {
  const [folder, ...paths] = process.argv.slice(2)
  const thread = new Worker(fileURLToPath(import.meta.url), {
    workerData: { folder, paths },
    stdout: true,
  })
  thread.on('message', (found) => {
    process.stdout.write(JSON.stringify(found))
    void thread.terminate()
  })
} else {
  parentPort?.postMessage(await findEffects(workerData as { folder: string; paths: string[] }), [])
}
