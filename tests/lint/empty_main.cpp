// The program that links one folder alone (CRX_LINK_CHECK).
int main() {}
