/**
 * The model that jobs are done with, and what a job and a worker must agree on.
 */
import { bitsOf } from '../backends/backend.ts'
import { refusal } from '../io/refusal.ts'
import type { Job } from './job.ts'
import type { Storage } from '../engine/storages/index.ts'
import type { LanguageModel } from '../engine/language_model.ts'
import { describeValue } from '../tensor/arguments.ts'
import type { MethodHash } from '../results/method_hash.ts'

/** A model, and the hashes by which jobs refer to it. */
export interface JobModel {
  readonly model: LanguageModel
  /** SHA-256 of the model's files. */
  readonly hash: string
  /** The hash of the sources that decide the numbers: results of other versions are not mixed. */
  readonly method: MethodHash
}

/**
 * The part of a job's settings that identifies its model. Stores are shared, so it includes everything that changes a
 * result: also the bits of the backend and the storage of the weights.
 */
export interface Agreement {
  readonly model: string
  readonly method: string
  readonly bits: string
  readonly storage: Storage
}

/** The agreement of jobs for this model. @param part the part of the method they depend on */
export function agreementOf({ model, hash, method }: JobModel, part: keyof MethodHash): Agreement {
  const { backend, weights } = model
  return { model: hash, method: method[part], bits: bitsOf(backend.name), storage: weights.storage }
}

/** Refuses a job of another model, another version, other bits. @throws InputError SHARD_MODEL */
export function checkAgreement(ours: JobModel, part: keyof MethodHash, settings: Job['settings']): void {
  for (const [what, expected] of Object.entries(agreementOf(ours, part)))
    checkAgreed(what as keyof Agreement, expected as string, settings[what])
}

/** Refuses one value that differs from ours. @throws InputError SHARD_MODEL for a job of another model or version */
export function checkAgreed(what: keyof Agreement, ours: string, theirs: unknown): void {
  if (theirs !== ours) throw refusal('SHARD_MODEL', `job ${what}`, ours, describeValue(theirs))
}
