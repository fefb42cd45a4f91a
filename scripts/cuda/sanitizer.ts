/**
 * The environment of a process whose libraries are built with the address sanitizer of g++.
 */
import { isAbsolute } from 'node:path'
import { whyNoEmulator } from './emulator.ts'
import { root } from '../sources.ts'
import { compile } from '../tool.ts'

/**
 * The environment that brings the sanitizer's library into a process before anything else; why there is none, or null.
 * Leaks are not looked for: they are the runtime's own affair.
 */
export async function sanitizerLibrary(): Promise<{
  missing: string | null
  environment: Record<string, string>
}> {
  const missing = await whyNoEmulator()
  if (missing !== null) return { missing, environment: {} }
  const library = (await compile('g++', ['-print-file-name=libasan.so'], root)).trim()
  // Of a file that it does not have, g++ prints the name alone.
  if (!isAbsolute(library)) return { missing: 'g++ has no libasan.so', environment: {} }
  return { missing: null, environment: { LD_PRELOAD: library, ASAN_OPTIONS: 'detect_leaks=0' } }
}
