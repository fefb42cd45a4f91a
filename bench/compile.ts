/**
 * Loops of assembly/bench, compiled when a bench needs them: they are yardsticks, and no part of the module that ships.
 */
import asc from 'assemblyscript/asc'
import { exists, readFile } from '../src/platform/platform.ts'

const OPTIONS = ['--runtime', 'stub', '--importMemory', '--optimizeLevel', '3', '--noAssert']

/** What the two builds have besides, as in asconfig.json. */
const builds = {
  strict: ['--enable', 'simd', '--use', 'FUSES=0'],
  relaxed: ['--enable', 'simd,relaxed-simd', '--use', 'FUSES=1'],
} as const

/** Compiles a file of assembly/bench. */
export async function compileLoops(name: string, build: keyof typeof builds = 'strict'): Promise<Uint8Array> {
  let binary: Uint8Array | null = null
  const source = `assembly/bench/${name}.ts`
  const args = [source, ...OPTIONS, ...builds[build], '--outFile', `${name}.wasm`]
  const { error, stderr } = await asc.main(args, {
    // The compiler asks for asconfig.json too, which is about the kernels.
    readFile: async (path) => (path.startsWith('assembly/') ? readSource(path) : null),
    writeFile: (_, contents) => void (binary = contents as Uint8Array),
    listFiles: () => [],
  })
  if (error || binary === null) throw new Error(stderr.toString(), { cause: error })
  return binary
}

async function readSource(path: string): Promise<string | null> {
  const url = new URL(`../${path}`, import.meta.url)
  return (await exists(url)) ? new TextDecoder().decode(await readFile(url)) : null
}
