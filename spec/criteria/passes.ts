/**
 * Passes over small models for laws of criteria: those of src/verify.
 */
export * from '../../src/verify/criteria/passes.ts'
