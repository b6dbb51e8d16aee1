// A library that the tests remove or replace; with -DOTHER another build of it, of the same size.
#ifdef OTHER
int other(void) {
  return 41;
}
int answer(void) {
  return 43;
}
#else
int third(void) {
  return 40;
}
int answer(void) {
  return 42;
}
#endif
