/**
 * What the thread of a device and its caller say to each other. WebGPU answers later; backends are read at once. So a thread of its
 * own talks to the device, and who reads waits for the thread in shared memory.
 */
import type { AdapterLimits } from '../backend.ts'

/** A pipeline to be compiled: its shader, and how many windows are bound. */
interface PipelineOrder {
  readonly id: number
  readonly text: string
  readonly windows: number
}

/** A group of bindings: the uniform block, then these windows. */
interface GroupOrder {
  readonly id: number
  readonly windows: readonly number[]
}

/** A window of device memory: one buffer, at most as large as a binding may be. */
export interface WindowOrder {
  readonly id: number
  readonly bytes: number
}

/** A part of a window. */
export interface Part {
  readonly window: number
  readonly offset: number
  readonly bytes: number
}

/** What is copied to the device before the commands of its batch. */
interface Upload {
  readonly window: number
  readonly offset: number
  readonly values: Uint8Array
}

/** Commands are runs of `size` numbers, the first of which says which it is. */
export const command = {
  /** pipeline, group, workgroups; the uniforms of launches follow each other */
  launch: 0,
  /** window, offset, bytes, where they are staged */
  copy: 1,
  /** window, offset, bytes */
  clear: 2,
  size: 5,
} as const

/** Work for the device, in this order: what is made, uploads, commands in one submission, what is read, what is destroyed. */
export interface Batch {
  readonly pipelines: readonly PipelineOrder[]
  readonly groups: readonly GroupOrder[]
  readonly windows: readonly WindowOrder[]
  readonly uploads: readonly Upload[]
  readonly staged: Uint8Array
  readonly uniforms: Uint8Array
  /** Float64: all of it is in shared memory, which messages pass on as it is. */
  readonly commands: SharedArrayBuffer
  readonly destroyed: readonly number[]
  /** What is read, and where to; null if nobody waits. */
  readonly answer: { readonly parts: readonly Part[]; readonly into: SharedArrayBuffer } | null
}

/** The first message to the thread. */
export interface DeviceSetup {
  readonly control: SharedArrayBuffer
  /** The most bytes of a binding, if that is to be less than the adapter allows. */
  readonly windowBytes: number | null
}

/** The answer to it: what was found, or why there is nothing. */
export type DeviceReport =
  | { readonly device: string; readonly windowBytes: number; readonly limits: AdapterLimits }
  | { readonly missing: string }

/**
 * Words of the control block: whether the thread has answered, how, what it has done so far, and how long the text of a failure is.
 */
export const word = { answered: 0, status: 1, progress: 2, textBytes: 3 } as const
/** Where that text starts. */
export const TEXT_START = 16
export const CONTROL_BYTES = 4096

/** How a batch ended. */
export const statuses = { done: 0, memory: 1, lost: 2, failed: 3 } as const

/** Bytes of the uniforms of a launch: what offsets are multiples of on every device. */
export const UNIFORM_BYTES = 256
