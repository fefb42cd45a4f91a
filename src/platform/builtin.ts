/**
 * Loads the modules of Node on use and by name, not by a static import, so that a browser can load every file of the project. Deno
 * has the same modules under the same names.
 */
import type * as cryptoModule from 'node:crypto'
import type * as fsModule from 'node:fs'
import type * as httpModule from 'node:http'
import type moduleModule from 'node:module'
import type * as osModule from 'node:os'
import type * as pathModule from 'node:path'
import type * as readlineModule from 'node:readline'
import type * as urlModule from 'node:url'
import type * as v8Module from 'node:v8'
import type * as workerModule from 'node:worker_threads'
import type * as zlibModule from 'node:zlib'
import { PlatformError } from './platform_error.ts'

type Process = typeof globalThis.process

/** Node's process object, or null in a browser. */
export const hostProcess: Process | null =
  typeof globalThis.process === 'object' && typeof globalThis.process.getBuiltinModule === 'function'
    ? globalThis.process
    : null

/** A module of Node. @throws PlatformError in a browser. */
export function builtin<Name extends keyof ModuleTypes>(name: Name): ModuleTypes[Name] {
  if (hostProcess === null) throw new PlatformError(name)
  return hostProcess.getBuiltinModule(name) as ModuleTypes[Name]
}

/** The modules of Node that the project uses. */
export interface ModuleTypes {
  'node:crypto': typeof cryptoModule
  'node:fs': typeof fsModule
  'node:http': typeof httpModule
  'node:module': typeof moduleModule
  'node:os': typeof osModule
  'node:path': typeof pathModule
  'node:readline': typeof readlineModule
  'node:url': typeof urlModule
  'node:v8': typeof v8Module
  'node:worker_threads': typeof workerModule
  'node:zlib': typeof zlibModule
}
