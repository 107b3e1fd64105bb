// A TLS server on Java's own stack that demands a client certificate; serves one connection.
//
//     java TlsServer.java <server.p12> <anchor.pem> <TLSv1.2|TLSv1.3>
//
// Prints its port, and what it sees of the client's chain; sends one line back reversed.

import java.io.BufferedReader;
import java.io.FileInputStream;
import java.io.InputStreamReader;
import java.net.InetAddress;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.util.HexFormat;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLServerSocket;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManagerFactory;

public class TlsServer {
    public static void main(String[] arguments) throws Exception {
        KeyStore own = KeyStore.getInstance("PKCS12");
        own.load(new FileInputStream(arguments[0]), "password".toCharArray());
        KeyManagerFactory keys = KeyManagerFactory.getInstance("PKIX");
        keys.init(own, "password".toCharArray());
        KeyStore trusted = KeyStore.getInstance("PKCS12");
        trusted.load(null, null);
        CertificateFactory factory = CertificateFactory.getInstance("X.509");
        trusted.setCertificateEntry("anchor", factory.generateCertificate(new FileInputStream(arguments[1])));
        TrustManagerFactory trust = TrustManagerFactory.getInstance("PKIX");
        trust.init(trusted);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(keys.getKeyManagers(), trust.getTrustManagers(), null);

        InetAddress loopback = InetAddress.getLoopbackAddress();
        SSLServerSocket server = (SSLServerSocket) context.getServerSocketFactory().createServerSocket(0, 1, loopback);
        server.setNeedClientAuth(true);
        server.setEnabledProtocols(new String[] {arguments[2]});
        System.out.println("port " + server.getLocalPort());
        try (SSLSocket client = (SSLSocket) server.accept()) {
            client.startHandshake();
            for (java.security.cert.Certificate certificate : client.getSession().getPeerCertificates()) {
                show((X509Certificate) certificate);
            }
            String line = new BufferedReader(new InputStreamReader(client.getInputStream())).readLine();
            client.getOutputStream().write((new StringBuilder(line).reverse() + "\n").getBytes());
        }
    }

    static void show(X509Certificate certificate) throws Exception {
        System.out.println("subject " + certificate.getSubjectX500Principal());
        System.out.println("CA " + certificate.getBasicConstraints());
        System.out.println("purposes " + certificate.getExtendedKeyUsage());
        System.out.println("critical " + new java.util.TreeSet<>(certificate.getCriticalExtensionOIDs()));
        byte[] evidence = certificate.getExtensionValue("2.23.133.5.4.1");
        System.out.println("TcbInfo " + (evidence == null ? "none" : HexFormat.of().formatHex(evidence)));
    }
}
