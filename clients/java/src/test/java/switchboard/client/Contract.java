package switchboard.client;

import com.google.protobuf.Descriptors.FileDescriptor;
import com.google.protobuf.Descriptors.MethodDescriptor;
import com.google.protobuf.Descriptors.ServiceDescriptor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;

/** The descriptors of the generated code. */
final class Contract {
    private Contract() {}

    /** One method of a service. */
    record Rpc(MethodDescriptor method) {
        String fullName() {
            return method.getService().getFullName() + "/" + method.getName();
        }
    }

    /** Every file of the contract, found in the proto folder, so a new file is included. */
    static List<FileDescriptor> files() {
        List<FileDescriptor> files = new ArrayList<>();
        Path protos = Sandbox.REPOSITORY.resolve("proto");
        try (Stream<Path> paths = Files.walk(protos.resolve("switchboard"))) {
            for (Path path :
                    paths.filter(p -> p.toString().endsWith(".proto")).sorted().toList()) {
                files.add(descriptor(protos.relativize(path)));
            }
        } catch (IOException | ReflectiveOperationException e) {
            throw new AssertionError(e);
        }
        return files;
    }

    private static FileDescriptor descriptor(Path proto) throws ReflectiveOperationException {
        StringBuilder name = new StringBuilder();
        for (String word : proto.getFileName().toString().replace(".proto", "").split("_")) {
            name.append(Character.toUpperCase(word.charAt(0))).append(word.substring(1));
        }
        String javaPackage = proto.getParent().toString().replace('/', '.') + ".";
        Class<?> outer;
        try {
            outer = Class.forName(javaPackage + name + "OuterClass");
        } catch (ClassNotFoundException e) {
            outer = Class.forName(javaPackage + name); // No definition in the file has the name of the file.
        }
        return (FileDescriptor) outer.getMethod("getDescriptor").invoke(null);
    }

    /** Every method of {@code switchboard.v1}. */
    static List<Rpc> rpcs() {
        List<Rpc> rpcs = new ArrayList<>();
        for (FileDescriptor file : files()) {
            for (ServiceDescriptor service : file.getServices()) {
                if (file.getPackage().equals("switchboard.v1")) {
                    service.getMethods().forEach(method -> rpcs.add(new Rpc(method)));
                }
            }
        }
        return rpcs;
    }
}
